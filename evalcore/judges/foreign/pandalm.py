"""PandaLM's test set: three people's labels of each pair, and a judge's verdicts on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from evalcore.errors import VotesError
from evalcore.exchange.prompts import Prompts
from evalcore.exchange.rows import Row, read_rows
from evalcore.judges.foreign.records import ForeignVerdict
from evalcore.records import Example

__all__ = ["read_pandalm"]

TEST_SET = "testset-v1.json"
_SUFFIX = "-testset-v1"
_LABELS = {"0": 0.5, "1": 1.0, "2": 0.0}
_VERDICTS = {"1": 1.0, "2": 0.0, "Tie": 0.5}
_ANNOTATORS = ("annotator1", "annotator2", "annotator3")


def read_pandalm(path: Path, prompts: Sequence[Example]) -> list[ForeignVerdict]:
    """Read people's labels, or a judge's verdicts on the same pairs.

    Parameters
    ----------
    path
        ``testset-v1.json``, or a file of verdicts with ``idx`` and ``gpt_result`` beside it. What
        is not 1, 2 or Tie, such as "garbage", is unscored; the published accuracy takes it for a
        tie.
    prompts
        Not needed: the test set holds its instructions.

    Raises
    ------
    InputError
        Naming the file, the row and what is permitted.
    """
    del prompts
    rows = list(read_rows(path))
    if rows and "gpt_result" in rows[0].fields:
        test_set = {row.text("idx"): row for row in read_rows(path.parent / TEST_SET)}
        return [_verdict(row, test_set, judge=path.stem.removesuffix(_SUFFIX)) for row in rows]
    return [verdict for row in rows for verdict in _votes(row)]


def _votes(row: Row) -> list[ForeignVerdict]:
    return [
        _on_pair(row, line=row.line, rater=name, score_a=row.one_of(name, _LABELS), text="")
        for name in _ANNOTATORS
    ]


def _verdict(row: Row, test_set: dict[str, Row], *, judge: str) -> ForeignVerdict:
    pair = test_set.get(row.text("idx"))
    if pair is None:
        raise VotesError(
            f"{row.where}: idx must be one of {TEST_SET}; got {row.fields['idx']!r:.80}"
        )
    score = _VERDICTS.get(str(row.fields["gpt_result"]), math.nan)
    said = "\n".join(
        text for name in ("gpt_result", "gpt_reason") if (text := row.optional_text(name))
    )
    return _on_pair(pair, line=row.line, rater=judge, score_a=score, text=said)


def _on_pair(row: Row, *, line: int, rater: str, score_a: float, text: str) -> ForeignVerdict:
    names = row.text("cmp_key").split("_")
    if len(names) != 2:
        raise VotesError(f"{row.where}: cmp_key must be X_Y; got {row.fields['cmp_key']!r:.80}")
    instruction, given = row.text("instruction"), row.optional_text("input")
    human = rater in _ANNOTATORS
    return ForeignVerdict(
        line=line,
        example=Prompts.of_text(
            f"{instruction}\n\n{given}" if given else instruction,
            category=row.optional_text("motivation_app"),
            where=row.where,
        ),
        model_a=names[0],
        model_b=names[1],
        score_a=score_a,
        shown="unknown" if human else "a_first",
        form="label",
        rater=rater,
        rater_kind="human" if human else "judge",
        text=text,
        answer_a=row.optional_text("response1"),
        answer_b=row.optional_text("response2"),
    )
