"""Finding the post-processing of a run on its validation images."""

import argparse
from typing import TYPE_CHECKING

from flexdan.cli.loading import Segmenter

if TYPE_CHECKING:
    pass


def tune_run(options: argparse.Namespace, network: Segmenter) -> None:
    """Find the post-processing that is best on the validation split of the training, and keep it in the run folder."""
