"""Training strategies: one step each, as a plain exchange."""

from flexdan.strategies.supervised import NonFiniteLossError, supervised_step

__all__ = ["NonFiniteLossError", "supervised_step"]
