"""What passes between readers of foreign files and the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalcore.judges.records import Verdict
from evalcore.records import Comparison, EvalRun, Example, Generation, ModelSpec, Score

__all__ = ["VOTE_COLUMNS", "ImportContext", "ImportedTask", "Parcel", "SourceFile"]

VOTE_COLUMNS = (
    *("id", "example_id", "model_a", "model_b", "winner", "rater", "rater_kind", "swapped"),
    *("created_utc", "explanation", "judge_prompt_version", "cost_usd"),
)
"""Names of the columns of :attr:`Parcel.votes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that facts were taken from."""

    path: Path
    format: str
    """Name of the format that it was read as."""
    sha256: str
    """Of its bytes; 64 hexadecimal digits."""
    n_bytes: int
    n_lines: int
    """Line ends in it, which is what a progress bar counts to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportContext:
    """What a reader may have to know besides its files."""

    now: str
    """Time of the import, for what has none of its own."""
    prompts: Sequence[Example] = ()
    """Prompts that files name by id only."""
    own_models: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the workspace's models by names that are unique there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTask:
    """A task of another tool, as the workspace knows tasks."""

    name: str
    hash: str
    examples: Sequence[Example]
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Records read together; each is stored once, however often it comes."""

    source: Path | None = None
    """File that votes, comparisons and answers are from."""
    n_read: int = 0
    """Lines (of a file without lines: records) read for it."""
    models: Sequence[ModelSpec] = ()
    tasks: Sequence[ImportedTask] = ()
    examples: Sequence[Example] = ()
    answers: Sequence[Generation] = ()
    verdicts: Sequence[Verdict] = ()
    comparisons: Sequence[Comparison] = ()
    votes: Mapping[str, Any] = field(default_factory=dict)
    """Comparisons by all names of :data:`VOTE_COLUMNS`, where there are a great many: Arrow arrays
    of equal length, or the one value of all rows; ``id`` is an array."""
    scores: Sequence[Score] = ()
    runs: Sequence[EvalRun] = ()
    warnings: Sequence[str] = ()
    """What a reader has to know of the file."""
    n_skipped: int = 0
    """Lines that are no records of ours, such as a log's lines that are not votes."""
