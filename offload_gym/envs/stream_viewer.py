"""What ``render()`` of streams shows: the last seconds as text, as pixels, or in a window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.stream_fleet import StreamFleet
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


class StreamViewer:
    """Shows a fleet of one as it goes on; all pictures of an episode show as many seconds.

    Args:
        fps: frames a second of the window.
    """

    def __init__(self, fps: float) -> None:
        self._window = Window(fps)
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
            self._figure = StreamFigure(len(picture.rows))
        pixels = self._figure.pixels(picture)
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

    Raises:
        ImportError: matplotlib is not installed.
    """

    def __init__(self, num_rows: int) -> None:
        # The figure is never given to pyplot, which would keep it alive and might open a window.
        try:
            from matplotlib import figure
            from matplotlib.backends.backend_agg import FigureCanvasAgg
        except ImportError as error:
            raise ImportError("Drawing a stream needs matplotlib: pip install 'offload-gym[render]'") from error
        rows_px = ROW_PX * num_rows
        width_px, height_px = LEFT_PX + CHART_PX + RIGHT_PX, TOP_PX + rows_px + AXIS_PX
        self._figure = figure.Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
        self._canvas: Any = FigureCanvasAgg(self._figure)  # matplotlib gives its methods no types
        place = LEFT_PX / width_px, AXIS_PX / height_px, CHART_PX / width_px, rows_px / height_px
        self._axes = self._figure.add_axes(place)
        self._drawn: tuple[float, list[str]] | None = None  # what the background is of
        self._background: Any = None

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """A picture: (height, width, 3)."""
        shared = picture.past_s, [row.label for row in picture.rows]
        if shared != self._drawn:
            self._axes.clear()
            draw_stream_axes(self._axes, picture)
            self._canvas.draw()
            self._background, self._drawn = self._canvas.copy_from_bbox(self._figure.bbox), shared
        self._canvas.restore_region(self._background)
        title, *others = draw_picture(self._axes, picture)
        for artist in sorted([title, *others], key=lambda artist: artist.get_zorder()):
            self._axes.draw_artist(artist)
        for artist in others:
            artist.remove()
        self._axes.set_title("", loc="left")  # which belongs to the axes and is not removed
        return np.asarray(self._canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()
