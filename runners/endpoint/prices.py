"""What a call costs: a table that comes with the package, and a user's own before it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evalcore.errors import InputError, ModelError

__all__ = ["PRICES_VARIABLE", "Price", "known_price", "parse_price"]

PRICES_VARIABLE: Final = "PARITY_PRICES"
"""Environment variable with the path of a user's own table."""
_DATED = re.compile(r"-\d{4}(-\d{2}-\d{2})?")
_MILLION: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what a call costs that reads and writes so many tokens."""
        prompt, completion = prompt_tokens * self.input_usd, completion_tokens * self.output_usd
        return (prompt + completion) / _MILLION


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    host: str | None = None
    """None means any."""
    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


_TABLE = TypeAdapter(tuple[_Entry, ...])


def parse_price(text: str) -> Price:
    """Read ``INPUT/OUTPUT``, dollars per million tokens, such as ``2.5/10``.

    Raises
    ------
    ModelError
        For anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    if match is None:
        raise ModelError(
            f"price must be dollars per million prompt and answer tokens, as in 2.5/10; "
            f"got {text!r}"
        )
    return Price(input_usd=float(match[1]), output_usd=float(match[2]))


def known_price(model: str, host: str) -> Price | None:
    """Look a model's price up; None if no table has it.

    Parameters
    ----------
    model
        As the server knows it. A dated snapshot (``gpt-4o-2024-08-06``) without an entry of its own
        costs what its undated name does.
    host
        Of the server: one name is dear here and free there.

    Raises
    ------
    InputError
        If the user's table can't be read.
    """
    own = os.environ.get(PRICES_VARIABLE)
    for entries in ([_read(own)] if own else []) + [_bundled()]:
        here = {entry.model: entry for entry in reversed(entries) if entry.host in (None, host)}
        found = here.get(model) or here.get(_undated(model))
        if found is not None:
            return Price(input_usd=found.input, output_usd=found.output)
    return None


def _undated(model: str) -> str:
    name = model
    for match in _DATED.finditer(model):
        if match.end() == len(model):
            name = model[: match.start()]
    return name


@cache
def _bundled() -> Sequence[_Entry]:
    text = files("runners.endpoint").joinpath("prices.yaml").read_text(encoding="utf-8")
    return _TABLE.validate_python(yaml.safe_load(text))


def _read(path: str) -> Sequence[_Entry]:
    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
        return _TABLE.validate_python(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).replace("\n", " ")
        raise InputError(f"price table {path} ({PRICES_VARIABLE}): {reason}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = " → ".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"price table {path} ({PRICES_VARIABLE}), {place}: {first['msg']}; it must be a list "
            "of {model, input, output} with host where wanted"
        ) from None
