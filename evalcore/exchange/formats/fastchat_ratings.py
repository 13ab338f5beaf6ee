"""FastChat's ratings of single answers, as the scores of a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalcore.errors import VotesError
from evalcore.exchange.formats.questions import QuestionBook
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_rows
from evalcore.exchange.task_results import TaskResults, results_parcel, utc_text

__all__ = ["read_ratings"]

_HIGHEST = 10.0
PRIMARY = "rating"


def read_ratings(
    paths: Sequence[Path], book: QuestionBook, context: ImportContext
) -> Iterator[Parcel]:
    """Read ``model_judgment/*_single.jsonl``: each judge makes a task, each model a run.

    A question's ``rating`` is the mean over its turns, as in MT-bench, and ``rating_turn_1`` and so
    on are the turns'. A score of -1, which says that none was found in the reply, is unscored.

    Raises
    ------
    VotesError
        For a score outside of 0 to 10, and for a turn rated twice.
    """
    for path in paths:
        found: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
        times: dict[tuple[str, str], float] = {}
        n_read = 0
        for row in read_rows(path):
            n_read += 1
            run = row.text("model"), _judge(row)
            place = row.text("question_id"), _turn(row)
            if place in found.setdefault(run, {}):
                raise VotesError(
                    f"{row.where}: question {place[0]}, turn {place[1]} of {run[0]} is rated twice"
                )
            found[run][place] = _score(row)
            times[run] = max(times.get(run, 0.0), row.number("tstamp"))
        for (model, judge), ratings in found.items():
            results = TaskResults(
                tool="fastchat",
                task=f"fastchat:single:{judge}",
                model=model,
                created_utc=utc_text(times[model, judge] or None, otherwise=context.now),
                settings={"judge": judge},
                higher_is_better={PRIMARY: True},
            )
            _fill(results, ratings, book)
            yield results_parcel(results, source=path, n_read=n_read)
            n_read = 0


def _judge(row: Row) -> str:
    judge = row.fields.get("judge")
    return str(judge[0]) if isinstance(judge, list) and judge else row.text("judge")


def _turn(row: Row) -> int:
    turn = row.fields.get("turn", 1)
    if isinstance(turn, bool) or not isinstance(turn, int) or turn < 1:
        raise VotesError(f"{row.where}: turn must be a whole number from 1; got {turn!r:.80}")
    return turn


def _score(row: Row) -> float:
    score = row.number("score")
    if score == -1 or math.isnan(score):
        return math.nan
    if not 0.0 <= score <= _HIGHEST:
        raise VotesError(f"{row.where}: score must be from 0 to 10, or -1 for none; got {score:g}")
    return score


def _fill(results: TaskResults, ratings: dict[tuple[str, int], float], book: QuestionBook) -> None:
    n_turns = max(turn for _, turn in ratings)
    for (question, turn), value in ratings.items():
        example = book.by_id(question)
        results.examples[example.id] = example
        results.add_score(PRIMARY, example.id, value)
        if n_turns > 1:
            results.add_score(f"{PRIMARY}_turn_{turn}", example.id, value)
    n_unscored = sum(math.isnan(value) for value in ratings.values())
    if n_unscored:
        results.warnings.append(
            f"{results.model}: {n_unscored} of {len(ratings)} answers have no rating by "
            f"{results.settings['judge']}"
        )
