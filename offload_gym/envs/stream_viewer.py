"""What ``render()`` of streams shows: the last seconds as text, as pixels, or in a window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.stream_fleet import StreamFleet
from offload_gym.envs.stream_map import Map, draw_map, draw_map_axes, map_of
from offload_gym.envs.stream_rendering import (
    NUM_JOBS,
    Picture,
    draw_picture,
    draw_stream_axes,
    picture_of,
    text_of,
)
from offload_gym.envs.viewer import AXIS_PX, CHART_PX, DPI, LEFT_PX, RIGHT_PX, ROW_PX, TOP_PX, rounded_up
from offload_gym.envs.window import Window

MAP_PX, MAP_LEFT_PX = 460, 60  # width and height of the map, and what is left of it


class StreamViewer:
    """Shows a fleet of one as it goes on; all pictures of an episode show as many seconds.

    Args:
        fps: frames a second of the window.
        sites_m: (A, 2) where the sites are, for a map beside the chart; None where devices do not move.
    """

    def __init__(self, fps: float, sites_m: NDArray[np.float64] | None = None) -> None:
        self._window, self._sites_m = Window(fps), sites_m
        self._figure: StreamFigure | None = None

    def show(self, fleet: StreamFleet, mode: str) -> Any:
        """The last seconds as text or as pixels, (height, width, 3); or None, in a window if there is a display.

        Raises:
            ImportError: matplotlib or pygame is not installed.
        """
        if self._window.blind and mode == "human":
            return None
        arrival_s = fleet.batch.jobs["arrival_s"][0]
        picture = picture_of(fleet, rounded_up(NUM_JOBS * arrival_s[-1] / len(arrival_s)))
        if mode == "ansi":
            return text_of(picture)
        if self._figure is None:
            self._figure = StreamFigure(len(picture.rows), self._sites_m is not None)
        shown = None
        if self._sites_m is not None:
            shown = map_of(fleet.streams(), self._sites_m, picture.now_s, picture.past_s)
        pixels = self._figure.pixels(picture, shown)
        if mode == "rgb_array":
            return pixels
        self._window.show(pixels)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()


class StreamFigure:
    """Pictures of as many rows each time, on a background that is drawn once for each time axis.

    Args:
        num_rows: how many.
        has_map: whether there is a map beside the chart.

    Raises:
        ImportError: matplotlib is not installed.
    """

    def __init__(self, num_rows: int, has_map: bool = False) -> None:
        # The figure is never given to pyplot, which would keep it alive and might open a window.
        try:
            from matplotlib import figure
            from matplotlib.backends.backend_agg import FigureCanvasAgg
        except ImportError as error:
            raise ImportError("Drawing a stream needs matplotlib: pip install 'offload-gym[render]'") from error
        rows_px = ROW_PX * num_rows
        width_px, height_px = LEFT_PX + CHART_PX + RIGHT_PX, TOP_PX + rows_px + AXIS_PX
        if has_map:
            width_px, height_px = width_px + MAP_LEFT_PX + MAP_PX, max(height_px, TOP_PX + MAP_PX + AXIS_PX)
        self._figure = figure.Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
        self._canvas: Any = FigureCanvasAgg(self._figure)  # matplotlib gives its methods no types
        bottom = 1.0 - (TOP_PX + rows_px) / height_px
        self._axes = self._figure.add_axes((LEFT_PX / width_px, bottom, CHART_PX / width_px, rows_px / height_px))
        if has_map:
            left, bottom = 1.0 - (MAP_PX + RIGHT_PX) / width_px, 1.0 - (TOP_PX + MAP_PX) / height_px
            self._map = self._figure.add_axes((left, bottom, MAP_PX / width_px, MAP_PX / height_px))
        self._drawn: tuple[Any, ...] | None = None  # what the background is of
        self._background: Any = None

    def pixels(self, picture: Picture, shown: Map | None = None) -> NDArray[np.uint8]:
        """A picture, and the map where there is one: (height, width, 3)."""
        of_map = None if shown is None else (shown.servers, shown.bounds_m)
        shared = picture.past_s, [row.label for row in picture.rows], of_map
        if shared != self._drawn:
            self._axes.clear()
            draw_stream_axes(self._axes, picture)
            if shown is not None:
                self._map.clear()
                draw_map_axes(self._map, shown)
            self._canvas.draw()
            self._background, self._drawn = self._canvas.copy_from_bbox(self._figure.bbox), shared
        self._canvas.restore_region(self._background)
        title, *others = draw_picture(self._axes, picture)
        for artist in sorted([title, *others], key=lambda artist: artist.get_zorder()):
            self._axes.draw_artist(artist)
        for artist in others:
            artist.remove()
        self._axes.set_title("", loc="left")  # which belongs to the axes and is not removed
        for artist in [] if shown is None else draw_map(self._map, shown):
            self._map.draw_artist(artist)
            artist.remove()
        return np.asarray(self._canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()
