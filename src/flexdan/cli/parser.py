"""The look of every command's `--help`."""

import argparse


class _WithDefaults(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    pass


def describe(what: str, examples: str, defaults: bool = False) -> dict:
    """Return the keyword arguments of a parser: description, examples below the options, line breaks kept.

    Args:
        what: the command does.
        examples: command lines.
        defaults: whether every option tells its default.
    """
    return {
        "description": what,
        "epilog": f"examples:\n{examples.rstrip()}",
        "formatter_class": _WithDefaults if defaults else argparse.RawDescriptionHelpFormatter,
    }
