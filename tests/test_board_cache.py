"""What is kept for quick reading never differs from the rows that it is made of."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from evalcore.errors import VotesError
from evalcore.records import Comparison, ModelSpec, Score
from evalcore.store import Store, ballots, open_store, schema


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> Iterator[Store]:
    monkeypatch.setattr(ballots, "_KEPT_FROM", 1)
    with open_store(tmp_path) as store:
        yield store


def vote(number: int, **given) -> Comparison:
    return Comparison(
        **{
            "id": f"v{number}",
            "example_id": f"e{number % 5}",
            "model_a": "a",
            "model_b": "bc"[number % 2],
            "winner": ("model_a", "model_b", "tie", "both_bad")[number % 4],
            "rater": f"r{number % 3}",
            "rater_kind": "human",
            "swapped": number % 2 == 0,
            "created_utc": f"2026-01-01T00:00:{number % 60:02d}Z",
            **given,
        }
    )


def rows(store: Store) -> list[tuple]:
    """Votes as the columns have them, in a comparable form."""
    votes = store.votes(kinds=("human", "judge", "rule", "simulated"))
    if votes is None:
        return []
    return sorted(
        (
            votes.example.names[votes.example.codes[k]],
            votes.models[votes.model_a[k]],
            votes.models[votes.model_b[k]],
            int(votes.winner[k]),
            votes.rater.names[votes.rater.codes[k]],
            int(votes.swapped[k]),
            float(votes.created_s[k]),
        )
        for k in range(len(votes))
    )


def expected(store: Store) -> list[tuple]:
    from evalcore.votes import Votes

    told = list(store.comparisons(kinds=("human", "judge", "rule", "simulated")))
    winners = {"model_a": 0, "model_b": 1, "tie": 2, "both_bad": 3}
    times = Votes.from_comparisons(told).created_s
    return sorted(
        (c.example_id, c.model_a, c.model_b, winners[c.winner], c.rater, int(c.swapped), time)
        for c, time in zip(told, times.tolist(), strict=True)
    )


def is_kept(store: Store) -> bool:
    with store.engine.connect() as connection:
        return bool(connection.scalar(sa.text("SELECT count(*) FROM vote_cache")))


def test_columns_are_the_rows_before_and_after_they_are_kept(store):
    store.add_comparisons([vote(k) for k in range(20)])
    assert rows(store) == expected(store)
    assert is_kept(store)
    assert rows(store) == expected(store)
    store.add_comparisons([vote(k) for k in range(15, 40)])
    assert rows(store) == expected(store)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM comparison WHERE id = 'v7'",
        "DELETE FROM comparison WHERE id = 'v19'",
        "UPDATE comparison SET winner = 'tie' WHERE id = 'v4'",
        "UPDATE comparison SET rater = 'somebody' WHERE rater = 'r1'",
        "DELETE FROM comparison WHERE id < 'v15'; VACUUM",
    ],
)
def test_columns_follow_what_is_changed_and_deleted(store, change):
    store.add_comparisons([vote(k) for k in range(20)])
    rows(store)
    for statement in change.split(";"):
        with store.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.connection.driver_connection.executescript(statement)
    assert rows(store) == expected(store)
    store.add_comparisons([vote(k) for k in range(100, 110)])
    assert rows(store) == expected(store)


def test_vote_taken_back_and_cast_again_is_seen(store):
    store.add_comparisons([vote(k) for k in range(20)])
    rows(store)
    with store.engine.begin() as connection:
        connection.execute(schema.comparison.delete().where(schema.comparison.c.id == "v19"))
    store.add_comparisons([vote(19, winner="both_bad")])
    assert rows(store) == expected(store)


def test_row_changed_while_columns_are_read_is_not_kept_stale(store, monkeypatch):
    store.add_comparisons([vote(k) for k in range(20)])
    keep = Store._keep_votes

    def slow(self, *arguments, **settings):
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE comparison SET winner = 'tie'"))
        keep(self, *arguments, **settings)

    monkeypatch.setattr(Store, "_keep_votes", slow)
    rows(store)
    monkeypatch.undo()
    assert not is_kept(store)
    assert rows(store) == expected(store)


def test_winner_that_is_none_is_refused(store):
    store.add_comparisons([vote(1, winner="model_c")])
    with pytest.raises(VotesError, match=r"winner must be one of .*; got 'model_c'"):
        store.votes()


def score(place: int, value: float) -> Score:
    return Score(example_id=f"e{place}", fingerprint="f", task_hash="t", metric="m", value=value)


class Examples:
    name, hash, settings = "task", "t", {}

    def __init__(self) -> None:
        from evalcore.records import Example, Message

        self.examples = [
            Example(id=f"e{k}", messages=(Message(role="user", content="?"),)) for k in range(3)
        ]


@pytest.mark.parametrize(
    "change", ["UPDATE score SET value = 9 WHERE example_id = 'e0'", "DELETE FROM score"]
)
def test_table_of_scores_follows_what_is_added_changed_and_deleted(store, change):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5)])
    assert store.score_table("t", "m").values.tolist() == [
        [0.5, pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True)]
    ]
    store.add_scores([score(1, 0.25), score(2, np.nan)])
    for _ in range(2):
        assert store.score_table("t", "m").values[0, :2].tolist() == [0.5, 0.25]
    with store.engine.begin() as connection:
        connection.execute(sa.text(change))
    found = store.score_table("t", "m", ["f"]).values[0]
    assert (found[0] == 9) if "UPDATE" in change else np.isnan(found).all()


def test_what_did_not_change_is_not_made_again(store):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5)])
    store.add_comparisons([vote(k) for k in range(20)])
    assert store.votes() is store.votes()
    assert store.score_table("t", "m") is store.score_table("t", "m")
    with pytest.raises(ValueError, match="read-only"):
        store.score_table("t", "m").values[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        store.votes().winner[0] = 1


def test_run_saved_again_is_read_anew(store, add_results):
    run = add_results(store, ModelSpec(name="a", backend="hf", weights="a"), "sums", [1.0, 0.0])
    assert store.runs()[0] is store.runs()[0]
    store.save_run(replace(run, n_examples=17))
    assert [found.n_examples for found in store.runs()] == [17]
