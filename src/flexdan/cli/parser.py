"""The look of every command's `--help`."""

import argparse


def describe(what: str, examples: str) -> dict:
    """Return the keyword arguments of a parser: description, examples below the options, line breaks kept."""
    return {
        "description": what,
        "epilog": f"examples:\n{examples.rstrip()}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
