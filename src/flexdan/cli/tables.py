"""Tables on the terminal."""

from collections.abc import Container, Sequence


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int] = ()) -> None:
    """Print what `table_text` returns."""
    print(table_text(header, rows, numbers))


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int] = ()) -> str:
    """Return a table whose lines are as long as they need, so that `grep` and `less -S` work.

    Args:
        header: of the columns.
        rows: of cells.
        numbers: columns that are set to the right.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, pad_edge=False)
    for number, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "right" if number in numbers else "left"
    for row in rows:
        table.add_row(*row)
    console = Console(width=10_000, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
