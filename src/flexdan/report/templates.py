"""The templates of the pages: what is common to them is in base.html and macros.html."""

from functools import cache
from importlib.resources import files

import jinja2


def _source(name: str) -> str:
    return files("flexdan.report").joinpath(name).read_text(encoding="utf-8")


@cache
def template(name: str) -> jinja2.Template:
    """Return a template of this room by its file name; everything that it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
