"""Rows of a foreign file, whatever its form, with every mistake told by file and line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.hashing import content_hash
from evalcore.records import Example
from evalcore.tasks.examples import LineTemplates, example_from_fields, read_jsonl

__all__ = ["Prompts", "Row", "read_rows"]

_LONGEST_ID = 32
"""What the workspace has room for."""


class Row:
    """The fields of one line, and where they are."""

    def __init__(self, fields: Any, *, path: Path, line: int) -> None:
        self.line = line
        self.where = f"{path}, {'line' if path.suffix == '.jsonl' else 'row'} {line}"
        if not isinstance(fields, Mapping):
            raise VotesError(f"{self.where}: must be a JSON object; got {type(fields).__name__}")
        self.fields = fields

    def text(self, name: str) -> str:
        """Return a field's text, or its whole number as text.

        Raises
        ------
        VotesError
            If it is missing, empty or something else.
        """
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise VotesError(f"{self.where}: {name} must be a text; got {value!r}")
        return str(value)

    def optional_text(self, name: str) -> str | None:
        """Return a field's text; None where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> float:
        """Return a field's number; nan where it is missing or null.

        Raises
        ------
        VotesError
            If it is something else.
        """
        value = self.fields.get(name)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VotesError(f"{self.where}: {name} must be a number; got {value!r}")
        return float(value)

    def one_of(self, name: str, permitted: Mapping[str, Any]) -> Any:
        """Return what a label stands for.

        Raises
        ------
        VotesError
            For a label that isn't permitted.
        """
        value = str(self.fields.get(name))
        if value not in permitted:
            raise VotesError(
                f"{self.where}: {name} must be one of {', '.join(permitted)}; got {value!r}"
            )
        return permitted[value]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a ``.jsonl`` file, of a ``.json`` file's list, or of a ``.parquet`` file.

    Raises
    ------
    InputError
        If the file can't be read, or isn't what its name says.
    """
    if path.suffix == ".jsonl":
        numbered: Iterator[tuple[int, Any]] = read_jsonl(path)
    elif path.suffix == ".parquet":
        numbered = enumerate(_parquet(path), 1)
    else:
        numbered = enumerate(_json_list(path), 1)
    return (Row(fields, path=path, line=line) for line, fields in numbered)


def _json_list(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise VotesError(f"{path}: no such file") from error
    except OSError as error:
        raise VotesError(f"{path}: can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise VotesError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, list):
        raise VotesError(f"{path}: must be a list of objects; got {type(content).__name__}")
    return content


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pa_parquet

    try:
        rows: list[dict[str, Any]] = pa_parquet.read_table(path).to_pylist()
    except FileNotFoundError as error:
        raise VotesError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise VotesError(f"{path}: not a parquet file that can be read") from error
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in rows
    ]


class Prompts:
    """Prompts by their ids in a file, or made of their texts."""

    def __init__(self, examples: Sequence[Example] = ()) -> None:
        self._by_id = {str(item.metadata["id"]): item for item in examples if "id" in item.metadata}

    def by_id(self, question_id: str) -> Example:
        """Return a prompt; where its text is not known one that has just this id."""
        short = question_id if len(question_id) <= _LONGEST_ID else content_hash(question_id)
        return self._by_id.get(question_id) or Example(id=short, messages=())

    @staticmethod
    def of_text(text: str, *, category: str | None, where: str) -> Example:
        """Make a prompt of its text, with the id that it has in a prompt set."""
        plain = example_from_fields({"prompt": text}, LineTemplates(), where=where)
        return replace(plain, category=category)
