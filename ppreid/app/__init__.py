"""The story of training."""

from ppreid.app.training import train

__all__ = ["train"]
