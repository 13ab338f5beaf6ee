"""Formats that can be read, by name, and which one a file looks like."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalcore.errors import InputError, VotesError
from evalcore.exchange.formats.alpaca_eval import read_alpaca_eval_files
from evalcore.exchange.formats.arena_hard import read_arena_hard
from evalcore.exchange.formats.fastchat import read_fastchat_files
from evalcore.exchange.formats.inspect_log import read_inspect
from evalcore.exchange.formats.lighteval import read_lighteval
from evalcore.exchange.formats.lm_eval import read_lm_eval
from evalcore.exchange.formats.lmarena import read_lmarena
from evalcore.exchange.formats.pandalm import read_pandalm_files
from evalcore.exchange.formats.votes import read_votes_files
from evalcore.exchange.json_files import read_json
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import first_line

__all__ = ["IMPORTS", "ImportFormat", "found_files", "likely_format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFormat:
    """How files of another tool are found and read."""

    read: Callable[[Sequence[Path], ImportContext], Iterator[Parcel]]
    patterns: Sequence[str]
    """What its files in a folder are called, in the order in which they are read."""


IMPORTS: Mapping[str, ImportFormat] = {
    "alpaca_eval": ImportFormat(
        read=read_alpaca_eval_files, patterns=("**/model_outputs.json", "**/annotations.json")
    ),
    "arena_hard": ImportFormat(
        read=read_arena_hard,
        patterns=(
            "**/*question*.jsonl",
            "**/model_answer/**/*.jsonl",
            "**/model_judgment/**/*.jsonl",
        ),
    ),
    "fastchat": ImportFormat(
        read=read_fastchat_files,
        patterns=(
            *("**/question.jsonl", "**/answer/*.jsonl", "**/model_answer/*.jsonl"),
            *("**/model_judgment/*.jsonl", "**/review/*.jsonl", "**/*-conv.json"),
        ),
    ),
    "inspect": ImportFormat(read=read_inspect, patterns=("**/*.eval", "**/*.json")),
    "lighteval": ImportFormat(
        read=read_lighteval, patterns=("**/results_*.json", "**/details_*.parquet")
    ),
    "lm_eval": ImportFormat(
        read=read_lm_eval, patterns=("**/results_*.json", "**/samples_*.jsonl")
    ),
    "lmarena": ImportFormat(
        read=read_lmarena, patterns=("**/*.parquet", "**/*.jsonl", "**/*.json", "**/*.csv")
    ),
    "pandalm": ImportFormat(read=read_pandalm_files, patterns=("**/*testset-v1.json",)),
    "votes": ImportFormat(
        read=read_votes_files, patterns=("*.jsonl", "*.csv", "*.parquet", "*.ndjson")
    ),
}
"""By name, as the command line has them."""

_MARKS: Sequence[tuple[frozenset[str], str]] = (
    (frozenset({"uid", "games"}), "arena_hard"),
    (frozenset({"uid", "prompt"}), "arena_hard"),
    (frozenset({"uid", "ans_id"}), "arena_hard"),
    (frozenset({"g1_winner", "g2_winner"}), "fastchat"),
    (frozenset({"question_id", "choices"}), "fastchat"),
    (frozenset({"question_id", "turns"}), "fastchat"),
    (frozenset({"question_id", "judge", "score"}), "fastchat"),
    (frozenset({"question_id", "text"}), "fastchat"),
    (frozenset({"answer1_id", "answer2_id"}), "fastchat"),
    (frozenset({"tstamp", "type", "states"}), "fastchat"),
    (frozenset({"instruction", "generator_1"}), "alpaca_eval"),
    (frozenset({"instruction", "generator"}), "alpaca_eval"),
    (frozenset({"annotator1", "cmp_key"}), "pandalm"),
    (frozenset({"winner_model_a", "winner_model_b"}), "lmarena"),
    (frozenset({"conversation_a", "conversation_b", "winner"}), "lmarena"),
    (frozenset({"doc_id", "filtered_resps"}), "lm_eval"),
    (frozenset({"results", "config_general"}), "lighteval"),
    (frozenset({"results", "configs", "versions"}), "lm_eval"),
    (frozenset({"__doc__", "__metric__"}), "lighteval"),
    (frozenset({"doc", "metric", "model_response"}), "lighteval"),
    (frozenset({"eval", "status", "version"}), "inspect"),
    (frozenset({"model_a", "model_b", "winner"}), "votes"),
)
"""Fields that a format's files have and others don't; the first that fit say it."""


def found_files(form: str, paths: Sequence[Path]) -> list[Path]:
    """Return the files that paths stand for, each once.

    Raises
    ------
    InputError
        For a path that isn't there, and a folder without a file of the format.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            patterns = IMPORTS[form].patterns
            inside = [file for some in patterns for file in sorted(path.glob(some))]
            if not inside:
                raise InputError(f"{path}: no files of {form} in it, such as {', '.join(patterns)}")
            found |= dict.fromkeys(file for file in inside if file.is_file())
        elif path.exists():
            found[path] = None
        else:
            raise InputError(f"{path}: no such file")
    return list(found)


def likely_format(path: Path) -> str | None:
    """Name the format that a file looks like; None if none does."""
    try:
        fields = _first_fields(path)
    except (VotesError, OSError, zipfile.BadZipFile, ValueError):
        return None
    return next((form for marks, form in _MARKS if marks <= fields), None)


def _first_fields(path: Path) -> frozenset[str]:
    if path.suffix.lower() == ".eval":
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
        return frozenset({"eval", "status", "version"}) if "header.json" in names else frozenset()
    if path.suffix.lower() == ".json":
        with suppress(VotesError):
            content: Any = read_json(path)
            first = content[0] if isinstance(content, list) and content else content
            return frozenset(first) if isinstance(first, Mapping) else frozenset()
    return frozenset(first_line(path).fields)
