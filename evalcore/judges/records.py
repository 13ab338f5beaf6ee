"""What judging reads and writes, besides the records of :mod:`evalcore.records`.

A *call* shows answers to a judge in one order. Its *verdict* is what was read in the judge's reply.
Verdicts on one pair in both orders are merged into one :class:`~evalcore.records.Comparison`; those
on single answers become scores. A verdict that could not be read has no winner and the value nan:
it is unscored, counted, and its text stays in the store under ``(rater, request_key)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from evalcore.hashing import content_hash
from evalcore.records import ModelSpec, RaterKind, SamplingParams, Winner

__all__ = [
    "GRADED",
    "Answer",
    "Criterion",
    "Disagreement",
    "Judge",
    "JudgePrompt",
    "OrderPolicy",
    "PromptKind",
    "Protocol",
    "Reading",
    "Verdict",
    "VerdictForm",
]

PromptKind = Literal["pairwise", "single", "ranking"]
VerdictForm = Literal[
    "label", "five_way", "scores", "logprobs", "rating", "rubric", "ranking", "rule"
]
"""How the judge says it:

- ``label`` the first, the second or neither (MT-bench's ``[[A]]``, ``[[B]]``, ``[[C]]``);
- ``five_way`` ``A>>B``, ``A>B``, ``A=B``, ``B>A``, ``B>>A`` (Arena-Hard);
- ``scores`` a number for each answer (Vicuna's first line);
- ``logprobs`` the probabilities of the two labels as the first token (AlpacaEval 2);
- ``rating`` a number for one answer; ``rubric`` one for each criterion;
- ``ranking`` all answers, best first;
- ``rule`` a metric's values for both answers, compared.
"""
GRADED: Final = frozenset({"five_way", "logprobs"})
"""Forms that say by how much an answer is preferred, which a win rate doesn't show."""
OrderPolicy = Literal["both", "random", "fixed"]
"""Each pair in both orders; in one order that a hash of the pair decides; ``model_a`` first."""
Disagreement = Literal["tie", "unresolved"]
"""What a pair is whose two orders have different winners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One line of a rubric."""

    name: str
    description: str = ""
    weight: float = 1.0
    """Weight in the overall rating, the weighted mean over criteria; above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """What a judge is told, and how its reply is read."""

    name: str
    kind: PromptKind
    form: VerdictForm
    system: str = ""
    """System message; none if empty."""
    template: str
    """User message with slots such as ``{question}`` and ``{answer_a}``."""
    labels: tuple[str, ...] = ()
    """What stands for the first answer, the second and, with three, a tie."""
    scale: tuple[float, float] = (1.0, 10.0)
    """Lowest and highest rating; what lies outside is unscored."""
    criteria: tuple[Criterion, ...] = ()
    """Of a rubric."""
    json_output: bool = False
    """The reply is a JSON object; where the runner can, it is held to that."""
    params: SamplingParams = field(default_factory=lambda: SamplingParams(max_new_tokens=1024))

    @property
    def version(self) -> str:
        """Name and content hash: two prompts with one version ask the same in the same way."""
        content = [self.kind, self.form, self.system, self.template, self.labels]
        settings = [self.scale, self.json_output]
        rubric = [[item.name, item.description, item.weight] for item in self.criteria]
        return f"{self.name}:{content_hash([*content, *settings, rubric])[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Prompts that belong together: which one is used depends on the example and the turn."""

    name: str
    plain: JudgePrompt
    reference: JudgePrompt | None = None
    """For examples that have a reference answer."""
    multi_turn: JudgePrompt | None = None
    """For turns after the first."""
    multi_turn_reference: JudgePrompt | None = None
    reference_categories: frozenset[str] | None = None
    """Categories judged with the reference; None means all examples that have one."""
    by_category: Mapping[str, JudgePrompt] = field(default_factory=dict)
    """Instead of the plain one, for examples of these categories."""

    @property
    def kind(self) -> PromptKind:
        """Of all its prompts."""
        return self.plain.kind

    @property
    def prompts(self) -> tuple[JudgePrompt, ...]:
        """All of them, the plain one first."""
        cases = (self.plain, self.reference, self.multi_turn, self.multi_turn_reference)
        return (*(prompt for prompt in cases if prompt is not None), *self.by_category.values())

    def with_max_new_tokens(self, n: int | None) -> Protocol:
        """Return the same with replies of at most n tokens; None leaves what its prompts say."""
        if n is None:
            return self

        def shortened(prompt: JudgePrompt) -> JudgePrompt:
            return replace(prompt, params=replace(prompt.params, max_new_tokens=n))

        return replace(
            self,
            plain=shortened(self.plain),
            reference=self.reference and shortened(self.reference),
            multi_turn=self.multi_turn and shortened(self.multi_turn),
            multi_turn_reference=self.multi_turn_reference and shortened(self.multi_turn_reference),
            by_category={name: shortened(prompt) for name, prompt in self.by_category.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is judged: a model's answers to an example, up to and with one turn."""

    fingerprint: str
    """Of the model."""
    texts: tuple[str, ...]
    """Turn by turn; the last one is judged."""
    request_key: str = ""
    """Of the last turn's generation; empty for answers from elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A model, or a rule, that judges."""

    name: str
    """The comparisons' rater."""
    spec: ModelSpec | None = None
    """None for a rule."""
    weight: float = 1.0
    """Weight in a jury; above 0."""

    @property
    def kind(self) -> RaterKind:
        """As comparisons tell it."""
        return "rule" if self.spec is None else "judge"

    @property
    def fingerprint(self) -> str:
        """Under which replies are stored; of a rule, a hash of its name."""
        return content_hash(["rule", self.name]) if self.spec is None else self.spec.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read in a reply, in terms of the order shown.

    A reading with the value nan is unscored.
    """

    value: float
    """Of a pair: how much the first answer is preferred, 1 = first, 0.5 = tie, 0 = second. Of a
    single answer: the rating."""
    label: str = ""
    """As the judge wrote it, such as ``A>>B``."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Ratings by criterion; of a pair's ``scores``, those of ``first`` and ``second``; of a
    ranking, whose value is 0, the rank by letter, 1 the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one judge said of one pair of answers in one order, or of one answer."""

    id: str
    """Content hash of judge, request, example, turn and models."""
    rater: str
    """The judge's name."""
    rater_kind: RaterKind
    fingerprint: str
    """Of the judge."""
    request_key: str
    """Of the call; with the fingerprint it finds the reply's text. Empty where none was made."""
    form: VerdictForm
    prompt_version: str
    example_id: str
    turn: int
    """The turn judged, from 1."""
    model_a: str
    """Fingerprint or name."""
    model_b: str | None = None
    """None where a single answer was judged."""
    answer_a: str = ""
    """Request key of the generation judged."""
    answer_b: str = ""
    swapped: bool = False
    """True if ``model_b``'s answer was shown first."""
    winner: Winner | None = None
    """None if unscored, and for single answers."""
    value: float
    """Of a pair: how much ``model_a`` is preferred, from 0 to 1, 0.5 = tie. Of a single answer: its
    rating. nan = unscored."""
    label: str = ""
    """As the judge wrote it, in the order shown."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Ratings by criterion; of a pair's ``scores``, those of ``model_a`` and ``model_b``."""
    created_utc: str
    cost_usd: float | None = None
