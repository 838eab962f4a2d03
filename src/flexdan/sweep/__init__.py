"""Sweeps: many configurations from one file."""

from flexdan.sweep.space import read_grid

__all__ = ["read_grid"]
