"""A study in one YAML file.

::

    name: koala
    models: [koala, alpaca]
    answers: answers.jsonl         # prompts with an answer of each model
    ratings_per_item: 5
    items_per_rater: 20
    choices: {both_bad: false}
    gold: {file: gold.jsonl, every: 8}
    training: training.jsonl
    stop: {rule: anytime, margin: 0.05}

Paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from arena.quality import QualityRules
from evalcore.errors import InputError
from evalcore.stats.sequential import StoppingRule
from evalcore.tasks.definition import StrictModel, parse_yaml

__all__ = [
    "Choices",
    "Gold",
    "QualitySettings",
    "Scale",
    "Stop",
    "StudyDefinition",
    "StudyKind",
    "read_study",
]

StudyKind = Literal["pairwise", "ranking", "rating"]
_RULES = QualityRules()


class Choices(StrictModel):
    """What a rater of two answers may say besides which one is better."""

    tie: bool = True
    both_bad: bool = False


class Scale(StrictModel):
    """A Likert scale; low and high are its end points, whole numbers."""

    name: str = Field(min_length=1, pattern=r"^[\w-]+$")
    question: str = ""
    low: int = 1
    high: int = 5
    low_text: str = ""
    high_text: str = ""


class Gold(StrictModel):
    """Items whose right answer is known; they look like all others and count for nothing else."""

    file: str
    """JSONL: as the answers, with ``expected`` and perhaps ``attention: true``."""
    every: int = Field(default=10, ge=2)
    """One gold item in each block of so many battles, at a place that differs by rater."""


class Stop(StrictModel):
    """When the study ends before every item has all its ratings."""

    rule: Literal["fixed", "anytime"] = "fixed"
    """``fixed``: never. ``anytime``: as soon as a confidence sequence decides each pair."""
    margin: float = Field(default=0.05, gt=0.0, lt=0.5)
    level: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Confidence that no verdict is wrong; shared evenly among pairs."""
    method: Literal["asymptotic", "empirical_bernstein"] = "asymptotic"
    tuned_for: int = Field(default=200, ge=1)
    """Rated items at which the asymptotic sequence is narrowest."""
    design_effect: float = Field(default=1.0, ge=1.0)
    """Variance over that of independent items, where few raters rate many of them."""
    stop_at_difference: bool = True

    def stopping_rule(self, *, n_pairs: int) -> StoppingRule:
        """Return the rule for each of some pairs, so that all verdicts hold together."""
        return StoppingRule(
            margin=self.margin,
            level=1.0 - (1.0 - self.level) / max(n_pairs, 1),
            method=self.method,
            tuned_for=self.tuned_for,
            design_effect=self.design_effect,
            stop_at_difference=self.stop_at_difference,
        )


class QualitySettings(StrictModel):
    """From when on a rater is flagged, as :class:`~arena.quality.QualityRules` says."""

    least_gold_share: float = Field(default=_RULES.least_gold_share, ge=0.0, le=1.0)
    least_visible_s: float = Field(default=_RULES.least_visible_s, ge=0.0)
    most_fast_share: float = Field(default=_RULES.most_fast_share, ge=0.0, le=1.0)
    most_same_share: float = Field(default=_RULES.most_same_share, gt=0.0, le=1.0)
    most_of_all: float = Field(default=_RULES.most_of_all, gt=0.0, le=1.0)
    alpha: float = Field(default=_RULES.alpha, gt=0.0, lt=0.5)

    def rules(self) -> QualityRules:
        """Return the same as a record."""
        return QualityRules(**self.model_dump())


class StudyDefinition(StrictModel):
    """What stands in a study's YAML file."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    title: str = ""
    """What raters see; the name unless given. Should not name a model."""
    kind: StudyKind = "pairwise"
    models: list[str] = Field(min_length=1)
    """Names in the answers, or of variants in the workspace; with more than two, all pairs."""
    prompts: str | None = None
    """Prompt set; the answers come from the workspace, or from a file for each model."""
    answers: str | dict[str, str] | None = None
    """One file of prompts with answers, or a file of answers for each model."""
    instructions: str = ""
    """Markdown."""
    consent: str = ""
    """What a rater agrees to before the first battle; its hash is the version that is kept."""
    choices: Choices = Choices()
    scales: list[Scale] = Field(default_factory=list)
    """Of a study of kind rating."""
    labels: list[str] = Field(default_factory=list)
    """Marks that a rater may set on an answer, or as reasons of a choice."""
    ratings_per_item: int = Field(default=1, ge=1)
    items_per_rater: int | None = Field(default=None, ge=1)
    """Most items of one rater, gold and training not counted."""
    raters: int | None = Field(default=None, ge=1)
    """Most raters."""
    join: Literal["open", "link", "account"] = "open"
    """Whoever comes, who has a signed link, or who has an account."""
    gold: Gold | None = None
    training: str | None = None
    """JSONL, as gold; each rater does all of it first and is told what is right and why."""
    stop: Stop = Stop()
    margin: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Of the parity test in the report."""
    reveal: bool = False
    """Whether names are shown after each vote; raters who know them may learn a model's style."""
    quality: QualitySettings = QualitySettings()
    lease_s: int = Field(default=1800, ge=60)
    """An item that a rater took and left is given to another one after so many seconds."""
    seed: int = 0

    @property
    def heading(self) -> str:
        """Title, or name where none is given."""
        return self.title or self.name


_LEAST_MODELS: dict[StudyKind, int] = {"pairwise": 2, "ranking": 2, "rating": 1}


def read_study(path: Path) -> StudyDefinition:
    """Read a study's file.

    Raises
    ------
    InputError
        Naming file, key, value and what is permitted.
    """
    study = parse_yaml(path, StudyDefinition, error=InputError)
    for mistake in (*_mistakes_of_kind(study), *_mistakes_of_answers(study)):
        raise InputError(f"{path}: {mistake}")
    return study


def _mistakes_of_kind(study: StudyDefinition) -> Iterator[str]:
    least = _LEAST_MODELS[study.kind]
    if len(study.models) < least:
        yield f"key 'models': a study of kind {study.kind} needs at least {least}"
    if study.kind == "rating" and not (study.scales or study.labels):
        yield "a study of kind rating needs scales or labels"
    if study.kind != "rating" and study.scales:
        yield f"key 'scales': for studies of kind rating; this one is {study.kind}"
    if study.stop.rule == "anytime" and study.kind != "pairwise":
        yield f"key 'stop.rule': anytime needs kind pairwise; got {study.kind}"
    for scale in study.scales:
        if scale.low >= scale.high:
            yield f"scale {scale.name!r}: low must be less than high; got {scale.low}, {scale.high}"
    names = {
        "models": study.models,
        "labels": study.labels,
        "scales": [scale.name for scale in study.scales],
    }
    for key, values in names.items():
        if len(set(values)) < len(values):
            yield f"key {key!r}: must differ from each other; got {', '.join(values)}"


def _mistakes_of_answers(study: StudyDefinition) -> Iterator[str]:
    if study.answers is None and study.prompts is None:
        yield "give answers, or prompts that the workspace has answers to"
    if isinstance(study.answers, str) and study.prompts is not None:
        yield "key 'prompts': answers in one file come with their prompts"
    if isinstance(study.answers, dict) and study.prompts is None:
        yield "key 'prompts' is missing: answers in a file for each model need it"
    if isinstance(study.answers, dict) and set(study.answers) != set(study.models):
        yield f"key 'answers': must have a file for each of {', '.join(study.models)}"
