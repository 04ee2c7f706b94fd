"""Task offloading in mobile edge computing, for Gymnasium."""

__version__ = "0.1.0"
