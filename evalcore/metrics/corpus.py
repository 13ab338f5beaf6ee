"""BLEU and chrF through sacrebleu: one value for all answers together, and one for each."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evalcore.records import Estimate

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

__all__ = ["CorpusMetric", "corpus_estimate", "sentence_score"]

CorpusMetric = Literal["bleu", "chrf"]
_RESAMPLES = 1000


def sentence_score(name: CorpusMetric, text: str, references: Sequence[str]) -> float:
    """Score one answer from 0 to 1, for comparing models pair by pair.

    BLEU counts only the n-gram orders that a short sentence has (sacrebleu's effective order).
    """
    score = _metric(name, effective_order=True).sentence_score(text, list(references))
    return float(score.score) / 100.0


def corpus_estimate(
    name: CorpusMetric,
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    n_unscored: int = 0,
) -> Estimate:
    """Score all answers together from 0 to 1, with sacrebleu's 95% bootstrap interval.

    The interval is the mean of 1,000 resamples of the answers ± half the range that holds 95% of
    them (Koehn 2004), cut at 0 and 1. Fewer than two answers give no interval: it is (0, 1).

    Parameters
    ----------
    name
        ``bleu`` (Papineni et al. 2002) or ``chrf`` (Popović 2015), with sacrebleu's defaults.
    texts
        (n,) answers; without any the value is nan.
    references
        (n,) lists of references, not all of the same length.
    """
    value, low, high = math.nan, 0.0, 1.0
    if texts:
        metric = _metric(name, effective_order=False)
        resamples = _RESAMPLES if len(texts) > 1 else 1
        score = metric.corpus_score(list(texts), _columns(references), n_bootstrap=resamples)
        value = score.score / 100.0
        if resamples > 1:
            told = json.loads(score.format(width=12, is_json=True, signature=f"metric:{name}"))
            centre, half = told["confidence_mean"] / 100.0, told["confidence_var"] / 100.0
            low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        confidence_level=0.95,
        method=f"corpus {name}, bootstrap over answers (sacrebleu)",
        n=len(texts),
        n_unscored=n_unscored,
    )


def _metric(name: CorpusMetric, *, effective_order: bool) -> BLEU | CHRF:
    from sacrebleu.metrics import BLEU, CHRF

    # BLEU's warning about spaces before full stops is for translations, not for answers.
    return BLEU(effective_order=effective_order, force=True) if name == "bleu" else CHRF()


def _columns(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Turn lists of references per answer into sacrebleu's lists of answers per reference."""
    most = max(len(some) for some in references)
    return [
        [some[column] if column < len(some) else None for some in references]
        for column in range(most)
    ]
