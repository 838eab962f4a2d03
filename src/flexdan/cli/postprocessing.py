"""Options of the post-processing, for the commands that use it."""

import argparse
from pathlib import Path

from flexdan.config import PostprocessingConfig, read_postprocessing


def add_postprocessing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that override the post-processing of a run."""


def postprocessing_settings(options: argparse.Namespace, folder: Path) -> tuple[PostprocessingConfig, str]:
    """Return the post-processing that the options and the run folder ask for, and where it comes from."""
    stored = read_postprocessing(folder)
    return (stored[0], "run") if stored else (PostprocessingConfig(), "default")
