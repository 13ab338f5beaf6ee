"""AlpacaEval's annotations, with the preference computed again from the judge's probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.prompts import Prompts
from evalcore.exchange.rows import Row, read_rows
from evalcore.judges.foreign.records import ForeignVerdict, Shown
from evalcore.records import Example

__all__ = ["logprob_preference", "read_alpaca_eval"]

_DRAWS = (0.0, 1.5)
"""Stored preferences that say that neither answer is better."""
_FIRST_LABEL, _SECOND_LABEL = "m", "M"
_SAME = 1e-6
_DEFAULT_JUDGE = "weighted_alpaca_eval_gpt4_turbo"


def read_alpaca_eval(path: Path, prompts: Sequence[Example]) -> list[ForeignVerdict]:
    """Read annotations: ``annotations.json``, or the same fields as jsonl or parquet.

    ``preference`` is 1 if ``output_1`` is better, 2 if ``output_2`` is, and between them the
    judge's probability; 1.5 and 0 are draws; null, and what lies outside, is unscored. Which answer
    was shown first is not stored: it shows in the judge's probabilities, of which one order only
    gives the stored preference.

    Parameters
    ----------
    path
        The file.
    prompts
        Not needed: the annotations hold their instructions.

    Raises
    ------
    InputError
        Naming the file, the row and what is permitted.
    """
    del prompts
    return [_verdict(row) for row in read_rows(path)]


def logprob_preference(logprobs: Mapping[str, float]) -> float:
    """Compute the judge's preference for the answer shown second, before any swap is undone.

    1 + p(M) / (p(m) + p(M)), m and M being the labels of the first and the second answer shown, and
    p their probabilities as the first token of the judge's reply; a label that is not among the
    likeliest tokens has probability 0 [1]_.

    Parameters
    ----------
    logprobs
        Natural logarithms of the probabilities of the likeliest tokens.

    Returns
    -------
    float
        From 1 (first) to 2 (second); nan if neither label is there.

    References
    ----------
    .. [1] Dubois, Galambosi, Liang & Hashimoto (2024), Length-controlled AlpacaEval: a simple way
       to debias automatic evaluators, arXiv 2404.04475, section 2.

    Examples
    --------
    >>> logprob_preference({"M": -0.1, "m": -0.1, "The": -9.0})
    1.5
    """
    first = logprobs.get(_FIRST_LABEL, -math.inf)
    second = logprobs.get(_SECOND_LABEL, -math.inf)
    if max(first, second) == -math.inf:
        return math.nan
    return 1.0 + 1.0 / (1.0 + math.exp(min(first - second, 700.0)))


def _verdict(row: Row) -> ForeignVerdict:
    if "instruction" not in row.fields or "preference" not in row.fields:
        raise VotesError(
            f"{row.where}: needs the fields instruction, generator_1, generator_2, preference; "
            f"got {', '.join(row.fields)}"
        )
    preference = row.number("preference")
    logprobs = _first_token(row)
    shown = _shown(preference, logprobs)
    cost = row.number(_name(row, "price_per_example"))
    written = row.optional_text(_name(row, "raw_completion"))
    model_a, model_b = row.text("generator_1"), _model(row)
    if model_a == model_b:
        raise VotesError(
            f"{row.where}: generator_1 and generator_2 must differ; got {model_a!r:.80}"
        )
    return ForeignVerdict(
        line=row.line,
        example=Prompts.of_text(
            row.text("instruction"), category=row.optional_text("dataset"), where=row.where
        ),
        model_a=model_a,
        model_b=model_b,
        score_a=_score_of_first_output(preference),
        shown="unknown" if shown is None else shown,
        form="logprobs",
        rater=row.optional_text("annotator") or _DEFAULT_JUDGE,
        text=written or (max(logprobs, key=logprobs.__getitem__) if logprobs else ""),
        stored_differs=shown is None,
        answer_a=row.optional_text("output_1"),
        answer_b=row.optional_text("output_2"),
        cost_usd=None if math.isnan(cost) else cost,
    )


def _name(row: Row, ending: str) -> str:
    """Find a field by the end of its name; annotators can put their own in front."""
    return next((name for name in row.fields if name.endswith(ending)), ending)


def _model(row: Row) -> str:
    """Name the model: ``model`` where a table of several has it, as generators' names repeat."""
    return row.optional_text("model") or row.text("generator_2")


def _score_of_first_output(preference: float) -> float:
    if preference in _DRAWS:
        return 0.5
    return 2.0 - preference if 1.0 <= preference <= 2.0 else math.nan


def _shown(preference: float, logprobs: Mapping[str, float] | None) -> Shown | None:
    """Find which order of the answers makes the judge's probabilities the stored preference.

    Draws fit both orders and say nothing; None if neither fits.
    """
    raw = math.nan if logprobs is None else logprob_preference(logprobs)
    if math.isnan(raw) or math.isnan(preference):
        return "unknown"
    straight, turned = abs(raw - preference), abs(3.0 - raw - preference)
    if min(straight, turned) > _SAME:
        return None
    if max(straight, turned) <= _SAME:
        return "unknown"
    return "a_first" if straight < turned else "b_first"


def _first_token(row: Row) -> dict[str, float] | None:
    """Return the likeliest first tokens, of AlpacaEval's own form or as a plain table."""
    name = "judge_top_logprobs"
    try:
        given = row.fields.get(name)
        if isinstance(given, str) and given:
            given = json.loads(given)
        if isinstance(given, Mapping):
            return {str(token): float(value) for token, value in given.items() if value is not None}
        name = _name(row, "raw_completion")
        completion = row.fields.get(name)
        return _from_completion(completion) if isinstance(completion, Mapping) else None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise VotesError(
            f"{row.where}: {name} must have the logarithms of tokens' probabilities; "
            f"got {row.fields.get(name)!r:.80}"
        ) from error


def _from_completion(completion: Mapping[str, Any]) -> dict[str, float] | None:
    """Read what OpenAI's chat completions call ``logprobs``."""
    content = (completion.get("logprobs") or {}).get("content") or []
    if not content:
        return None
    return {
        str(item["token"]): float(item["logprob"]) for item in content[0].get("top_logprobs") or ()
    }
