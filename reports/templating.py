"""The templates' environment."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from leaderboards.rounding import number, p_value, signed, with_interval

__all__ = ["environment"]


def environment() -> jinja2.Environment:
    """Return the environment of the report's templates, with its filters."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,  # answers of models are hostile text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "signed": signed,
        "with_interval": with_interval,
        "p_value": p_value,
        "breakable": _breakable,
    }
    return made


def _breakable(name: str) -> Markup:
    """Escape a name, and let a line end before each adapter in it."""
    return Markup("<wbr>+").join(name.split("+"))
