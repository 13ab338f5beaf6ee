"""Snapshots of the leaderboard, what changed between them, and deprecated models."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalcore.errors import InputError, WorkspaceError
from evalcore.records import Comparison, ModelSpec
from evalcore.store import Store, open_store
from leaderboards.changes import board_changes, change_lines
from leaderboards.deprecation import deprecate
from leaderboards.request import BoardRequest
from leaderboards.snapshots import as_asked, snapshot_content, take_snapshot
from leaderboards.standings import standings

GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90


@pytest.fixture
def store(tmp_path: Path, add_results) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        for name, values in (("a", GOOD), ("b", POOR)):
            add_results(store, model(name), "sums", values)
        yield store


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


def votes(n: int, *, start: int = 0, **given) -> list[Comparison]:
    shared = {
        "model_a": model("a").fingerprint,
        "model_b": model("b").fingerprint,
        "winner": "tie",
        "rater": "r",
        "rater_kind": "human",
        "swapped": False,
        "created_utc": "2026-01-01T00:00:00Z",
    }
    return [
        Comparison(**{"id": f"v{k}", "example_id": f"e{k}", **shared, **given})
        for k in range(start, start + n)
    ]


def told(store: Store, old: dict, request: BoardRequest | None = None) -> str:
    new = snapshot_content(store, standings(store, request or as_asked(old)))
    return "\n".join(change_lines(board_changes(old, new, names=("1", "now"))))


def test_snapshots_are_numbered_and_an_equal_one_is_not_taken_again(store, add_results):
    first, is_new = take_snapshot(store, standings(store), note="before")
    assert (first.number, is_new, first.note) == (1, True, "before")
    assert take_snapshot(store, standings(store)) == (first, False)
    add_results(store, model("c"), "sums", GOOD)
    assert take_snapshot(store, standings(store))[0].number == 2
    assert [item.number for item in store.snapshots()] == [1, 2]


def test_snapshot_is_never_rewritten(store):
    take_snapshot(store, standings(store))
    with sqlite3.connect(Path(store.where) / "parity.sqlite") as connection:
        for change in ("UPDATE snapshot SET note = 'x'", "DELETE FROM snapshot"):
            with pytest.raises(sqlite3.IntegrityError, match="never rewritten"):
                connection.execute(change)
    connection.close()


def test_snapshot_that_was_tampered_with_is_refused(store):
    take_snapshot(store, standings(store))
    connection = sqlite3.connect(Path(store.where) / "parity.sqlite")
    connection.execute("DROP TRIGGER snapshot_update")
    connection.execute("UPDATE snapshot SET content = replace(content, '0.7', '0.9')")
    connection.commit()
    connection.close()
    with pytest.raises(WorkspaceError, match=r"snapshot 1 in .* was changed"):
        store.snapshot(1)


def test_unknown_snapshot_is_refused_with_those_there_are(store):
    with pytest.raises(InputError, match="none yet: parity leaderboard snapshot"):
        store.snapshot(3)
    take_snapshot(store, standings(store))
    with pytest.raises(InputError, match="1 to 1; got 3"):
        store.snapshot(3)


def test_nothing_changed_is_said(store):
    assert told(store, snapshot_content(store, standings(store))).endswith("nothing has changed")


def test_diff_says_votes_models_and_runs(store, add_results):
    old = snapshot_content(store, standings(store))
    store.add_comparisons(votes(30))
    add_results(store, model("c"), "sums", [1.0] * 90 + [0.0] * 10)
    said = told(store, old)
    assert "why: human votes: 30 added" in said
    assert "why: models: 1 added, 0 gone" in said
    assert "c is new, rank 1 (sums added)" in said
    assert "a: rank 1 → 2, the same rating (human comparisons +30)" in said


def test_diff_says_new_versions_of_tasks_and_other_settings(store, add_results):
    old = snapshot_content(store, standings(store))
    for name in "ab":
        late = {"version": 2, "created_utc": "2026-02-01T00:00:00Z"}
        add_results(store, model(name), "sums", POOR, **late)
    said = told(store, old, BoardRequest(margin=0.1))
    assert "why: margin: 0.05 → 0.1" in said
    assert "why: task sums: version" in said
    assert "rating 0.7 → 0.1 (sums run again)" in said


def test_diff_says_other_prompts_of_a_judge(store):
    judged = {"rater": "j", "rater_kind": "judge"}
    store.add_comparisons(votes(3, judge_prompt_version="v1", **judged))
    old = snapshot_content(store, standings(store))
    store.add_comparisons(votes(3, start=3, judge_prompt_version="v2", **judged))
    assert "why: judge j: prompts v1 → v1, v2" in told(store, old)


def test_deprecated_model_keeps_its_row_and_rank(store):
    old = snapshot_content(store, standings(store))
    deprecate(store, "a", reason="leaks its prompt")
    board = standings(store)
    assert board.standings[0].rank == 1
    assert board.deprecated[model("a").fingerprint].reason == "leaks its prompt"
    assert "(deprecated: leaks its prompt)" in told(store, old)
    with pytest.raises(InputError, match="a is deprecated already"):
        deprecate(store, "a", reason="again")


def test_commands_keep_list_show_and_compare(store, parity):
    where = ("-w", store.where)
    assert "Snapshot 1: a leads" in parity("leaderboard", "snapshot", "--note", "one", *where)[1]
    assert "Nothing has changed" in parity("leaderboard", "snapshot", *where)[1]
    store.add_comparisons(votes(5))
    assert "human votes: 5 added" in parity("leaderboard", "diff", "1", *where)[1]
    assert parity("leaderboard", "snapshot", *where)[0] == 0
    changes = json.loads(parity("leaderboard", "diff", "1", "2", "--json", *where)[1])
    assert changes["causes"] == ["human votes: 5 added"]
    assert "one" in parity("leaderboard", "snapshots", *where)[1]
    assert "a leads" in parity("leaderboard", "show", "1", *where)[1]
    code, _, said = parity("leaderboard", "diff", "x", "2", *where)
    assert (code, "must be a number, or now; got 'x'" in said) == (2, True)


def test_commands_deprecate_and_undo(store, parity):
    where = ("-w", store.where)
    parity("leaderboard", "deprecate", "b", "--reason", "superseded", *where)
    assert "b (deprecated)" in parity("leaderboard", *where)[1]
    parity("leaderboard", "deprecate", "b", "--undo", "--reason", "a mistake", *where)
    assert "(deprecated)" not in parity("leaderboard", *where)[1]
    code, _, said = parity("leaderboard", "deprecate", "x", "--reason", "y", *where)
    assert (code, "got 'x'" in said) == (2, True)
