"""JSON of other tools, with every mistake told by file, line and column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.strict_json import parse_json_text

__all__ = ["LARGEST_JSON", "as_object", "parse_json", "read_json"]

LARGEST_JSON = 1 << 30
"""Bytes of the largest file, or member of an archive, that is read in one piece."""


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    VotesError
        If it can't be read, is no JSON, or is larger than :data:`LARGEST_JSON`.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise VotesError(f"{path}: larger than {LARGEST_JSON >> 20} MiB; give it as .jsonl")
        return parse_json(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise VotesError(f"{path}: no such file") from error
    except OSError as error:
        raise VotesError(f"{path}: can't be read: {error.strerror or error}") from error


def parse_json(raw: bytes, where: str) -> Any:
    """Parse JSON in UTF-8.

    Raises
    ------
    VotesError
        Beginning with the place, for anything else.
    """
    try:
        return parse_json_text(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise VotesError(f"{where}: not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        place = (
            f"line {error.lineno}, column {error.colno}"
            if error.lineno > 1
            else (f"column {error.colno}")
        )
        raise VotesError(f"{where}: not JSON: {error.msg} ({place})") from error
    except ValueError as error:
        raise VotesError(f"{where}: not JSON that can be read: {error}") from error


def as_object(value: Any, where: str) -> Mapping[str, Any]:
    """Return an object, as JSON has them.

    Raises
    ------
    VotesError
        For anything else.
    """
    if not isinstance(value, Mapping):
        raise VotesError(f"{where} must be an object; got {value!r:.80}")
    return value
