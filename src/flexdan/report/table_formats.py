"""Tables as text for papers and pages: Markdown and LaTeX."""

import re

from flexdan.report.tables import Table

_LATEX = {  # one pass over the characters, so that nothing is escaped twice
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown(table: Table) -> str:
    """Return a table in Markdown: title, table, note."""
    lines = [
        table.title,
        "",
        "| " + " | ".join(table.header) + " |",
        "| " + " | ".join("---" for _ in table.header) + " |",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in table.rows]
    return "\n".join([*lines, "", table.note])


def latex(table: Table) -> str:
    """Return a table in LaTeX, for the package booktabs; title and note are comments."""
    columns = "l" * table.text_columns + "r" * (len(table.header) - table.text_columns)
    rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in (table.header, *table.rows)]
    lines = [
        *(f"% {line}" for line in table.title.splitlines()),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *(f"% {line}" for line in table.note.splitlines()),
    ]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Return a text with every character escaped that LaTeX takes for something else."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", escaped)  # a hyphen is no minus
