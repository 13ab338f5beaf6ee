"""JSON that other people wrote, of which nothing is taken that the database could not hold."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["parse_json_text"]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Halves of characters, which are none where the other half is missing."""
_MOST_DIGITS = 300
"""Whole numbers of more can't be made one of 64 bits."""


def parse_json_text(text: str) -> Any:
    """Parse JSON.

    Raises
    ------
    json.JSONDecodeError
        For a text that is not JSON.
    ValueError
        In plain words, for halves of characters, huge whole numbers, and what is nested too deeply.
    """
    try:
        content = _decoded(text)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("unicode_escape").decode()
        raise ValueError(f"{half} is half a character") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return content


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


_decoded = json.JSONDecoder(parse_int=_whole_number).decode
