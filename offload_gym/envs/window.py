"""A window that shows pixels, if there is a display."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)


class Window:
    """A window of pygame, opened by the first pixels.

    Args:
        fps: frames a second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._screen: Any = None  # of pygame
        self.blind = False  # whether there is no display

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Show pixels (height, width, 3), as many each time; nothing where there is no display.

        Raises:
            ImportError: pygame is not installed.
        """
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as error:
            raise ImportError("A window needs pygame: pip install 'offload-gym[render]'") from error
        if self._screen is None:
            try:
                pygame.display.init()
                # Without a display the library draws where nobody can see it.
                if pygame.display.get_driver() in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
                    raise pygame.error("there is no display")
                self._screen = pygame.display.set_mode((pixels.shape[1], pixels.shape[0]))
            except pygame.error as error:
                pygame.display.quit()
                self.blind = True
                _LOG.warning(
                    "render_mode is 'human', but a window cannot be opened (%s): the environment goes on without one; "
                    "'rgb_array' and 'ansi' need none",
                    error,
                )
                return
            pygame.display.set_caption("offload_gym")
            self._clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self._screen, pixels.swapaxes(0, 1))
        pygame.event.pump()
        self._clock.tick(self._fps)
        pygame.display.flip()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None
