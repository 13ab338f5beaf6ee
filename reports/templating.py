"""The templates' environment."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from evalcore.visible import visible
from leaderboards.rounding import number, p_value, signed, with_interval
from leaderboards.variants import public_place
from reports.figures.svg import inline_svg

__all__ = ["environment"]


def environment() -> jinja2.Environment:
    """Return the environment of the report's templates, with its filters.

    Whatever is written is escaped, and signs that would not be seen or would turn the page around
    are made visible: answers and names are hostile text.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "signed": signed,
        "with_interval": with_interval,
        "p_value": p_value,
        "public_place": public_place,
        "breakable": _breakable,
        "inline_svg": inline_svg,
        "short": _short,
    }
    return made


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(name: str) -> Markup:
    """Escape a name, and let a line end before each adapter in it."""
    return Markup("<wbr>+").join(visible(name).split("+"))


def _short(value: object) -> str:
    """Write a cell of a data file for reading: numbers to four digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return "–" if value is None else str(value)
    return number(value, 0) if value != value else f"{value:.4g}".replace("-", "−")
