"""Sweeps: many configurations from one file."""

from flexdan.sweep.space import is_sweep, read_grid

__all__ = ["is_sweep", "read_grid"]
