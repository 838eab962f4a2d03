"""A figure as a file of its own, which any browser or office program shows."""

from markupsafe import Markup

from flexdan.report.figures import HEIGHT, WIDTH

STYLE = """\
svg { background: #fff; font: 11.5px system-ui, "Helvetica Neue", Arial, sans-serif; }
text { fill: #626b76; } .up { text-anchor: end; } .across { text-anchor: middle; }
.grid { stroke: #e3e6ea; } .axis { stroke: #626b76; } .level { stroke: #626b76; stroke-dasharray: 4 4; fill: none; }
.s0 { --c: #1f6feb; } .s1 { --c: #d1580b; } .s2 { --c: #14866d; } .s3 { --c: #8a3ffc; } .s4 { --c: #b4236b; }
.line { fill: none; stroke: var(--c, #1f6feb); stroke-width: 2; } .dot { fill: var(--c, #1f6feb); }
.bar { fill: #1f6feb; } .share { fill: #1f6feb; fill-opacity: .25; } .hit { fill: #000; fill-opacity: 0; }
"""


def standalone(drawing: Markup, width: int = WIDTH, height: int = HEIGHT, scale: float = 1.5) -> str:
    """Return a drawing of `flexdan.report.figures` as the text of an SVG file.

    Args:
        drawing: an `<svg>` of this width and height, in its own units.
        width: of the drawing.
        height: of the drawing.
        scale: pixels per unit.
    """
    size = f' xmlns="http://www.w3.org/2000/svg" width="{width * scale:g}" height="{height * scale:g}" '
    return str(drawing).replace("<svg ", "<svg" + size, 1).replace(">", f"><style>{STYLE}</style>", 1) + "\n"
