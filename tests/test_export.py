"""Votes exported for other tools, and read again."""

import asyncio
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from arena.arena import Arena
from arena.fake import FakeSource
from arena.records import Ballot, Form, Rater
from arena.settings import ArenaSettings
from evalcore.errors import InputError
from evalcore.exchange.judged import judged_comparisons
from evalcore.exchange.vote_exports import FORMATS
from evalcore.exchange.writing import write_rows
from evalcore.protocols import Completion
from evalcore.records import Comparison, Efficiency, Example, Message, ModelSpec, SamplingParams
from evalcore.store import Store, open_store
from evalcore.store.store import Answered
from evalcore.votes import read_votes

WINNERS = ("model_a", "model_b", "tie", "both_bad")


@pytest.fixture
def voted(tmp_path: Path):
    """A workspace with a vote of each kind by one rater."""
    with open_store(tmp_path / "out") as store:
        arena = Arena(store, FakeSource(), settings=ArenaSettings(secret="s" * 32))
        for winner in WINNERS:
            vote_for(arena, winner)
        arena.close()
        yield store


def vote(arena: Arena, ballot: Ballot) -> None:
    async def cast() -> None:
        view = await arena.next(Rater(id="someone"), advance=True)
        await arena.vote(Rater(id="someone"), view.token, ballot, reveal=True)

    asyncio.run(cast())


def vote_for(arena: Arena, winner: str) -> None:
    """Vote for the first model or the second, wherever they stand."""

    async def cast() -> None:
        view = await arena.next(Rater(id="someone"), advance=True)
        a_is_left = "style 0" in view.turns[0].answers[0].text
        sides = ("left", "right") if a_is_left else ("right", "left")
        choice = dict(zip(("model_a", "model_b"), sides, strict=True)).get(winner, winner)
        await arena.vote(Rater(id="someone"), view.token, Ballot(choice=choice), reveal=True)

    asyncio.run(cast())


def rows(store: Store, form: str) -> list[dict]:
    return [row for judged in judged_comparisons(store) for row in FORMATS[form](judged)]


def test_votes_read_again_are_the_same(voted: Store, tmp_path: Path):
    for ending in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"votes.{ending}"
        write_rows(path, rows(voted, "votes"))
        read = read_votes(path)
        expected = list(voted.comparisons())
        assert [read.models[code] for code in read.model_a] == [c.model_a for c in expected]
        assert read.winner.tolist() == [WINNERS.index(c.winner) for c in expected]
        assert read.swapped.tolist() == [int(c.swapped) for c in expected]


def test_raters_are_told_apart_but_not_named(voted: Store):
    raters = {row["rater"] for row in rows(voted, "votes")}
    assert len(raters) == 1
    assert "someone" not in raters


def test_lmarena_battles_show_model_a_first(voted: Store):
    found = rows(voted, "lmarena")
    for row, comparison in zip(found, voted.comparisons(), strict=True):
        first = comparison.model_b if comparison.swapped else comparison.model_a
        assert row["model_a"] == first
        named = row[row["winner"]] if row["winner"] in ("model_a", "model_b") else row["winner"]
        won = getattr(comparison, comparison.winner, comparison.winner)
        assert named.replace("tie (bothbad)", "both_bad") == won
        assert row["conversation_a"][-1]["role"] == "assistant"
        assert row["judge"].startswith("arena_user_")
        assert row["turn"] == 1


def test_lmarena_file_is_a_vote_file_too(voted: Store, tmp_path: Path):
    write_rows(tmp_path / "battles.jsonl", rows(voted, "lmarena"))
    assert sorted(read_votes(tmp_path / "battles.jsonl").winner)[-2:] == [2, 3]


def answers_of(store: Store) -> dict[tuple[str, str], str]:
    """Text by battle and model, from LMArena's form."""
    return {
        (row["question_id"], row[f"model_{side}"]): row[f"conversation_{side}"][-1]["content"]
        for row in rows(store, "lmarena")
        for side in "ab"
    }


def test_dpo_has_a_row_for_each_decided_vote_with_the_better_answer_chosen(voted: Store):
    found, texts = rows(voted, "trl_dpo"), answers_of(voted)
    decided = [c for c in voted.comparisons() if c.winner in ("model_a", "model_b")]
    assert len(found) == len(decided) == 2
    for row, comparison in zip(found, decided, strict=True):
        winner = getattr(comparison, comparison.winner)
        assert [message["role"] for message in row["prompt"]] == ["user"]
        assert row["chosen"] == [{"role": "assistant", "content": texts[comparison.id, winner]}]
        assert row["rejected"] != row["chosen"]


def test_kto_labels_decided_answers_and_two_bad_ones(voted: Store):
    labels = [row["label"] for row in rows(voted, "trl_kto")]
    assert sorted(labels) == [False] * 4 + [True] * 2
    assert all(set(row) == {"prompt", "completion", "label"} for row in rows(voted, "trl_kto"))


def test_ranking_makes_a_row_for_each_pair(tmp_path: Path):
    source = FakeSource(("a", "b", "c"), form=Form(kind="ranking"))
    with open_store(tmp_path / "out") as store:
        arena = Arena(store, source, settings=ArenaSettings(secret="s" * 32))
        vote(arena, Ballot(ranking=(1, 2, 3)))
        arena.close()
        found, texts = rows(store, "trl_dpo"), rows(store, "lmarena")
    assert len(found) == len(texts) == 3
    by_text = [row["chosen"][0]["content"] for row in found]
    assert sorted(by_text.count(text) for text in set(by_text)) == [1, 2]


def test_verdicts_of_judges_take_the_answers_of_the_workspace(tmp_path: Path):
    example = Example(
        id="e" * 32, messages=(Message(role="user", content="Hi"),), follow_ups=("And?",)
    )
    specs = [ModelSpec(name=name, backend="fake", weights=name) for name in ("x", "y")]
    with open_store(tmp_path / "out") as store:
        store.add_examples([example])
        for spec in specs:
            store.add_model(spec)
            store.add_responses(
                spec.fingerprint, two_turns(example, spec.name), task_hash="t", took=Efficiency()
            )
        verdict = make_comparison(*(spec.fingerprint for spec in specs), example_id=example.id)
        store.add_comparisons([verdict])
        (judged,) = judged_comparisons(store, kinds=("judge",))
        (row,) = FORMATS["trl_dpo"](judged)
    assert (judged.comparison.model_a, judged.comparison.rater) == ("x", "judge")
    assert [message["content"] for message in row["chosen"]] == ["x1", "And?", "x2"]
    assert [message["content"] for message in row["prompt"]] == ["Hi"]


def two_turns(example: Example, name: str) -> list[Answered]:
    keys = [(f"{name}1", None), (f"{name}2", f"{name}1")]
    return [
        Answered(
            example_id=example.id,
            request_key=key,
            previous_key=before,
            params=SamplingParams(),
            response=Completion(
                text=key,
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
                duration_s=0.1,
            ),
        )
        for key, before in keys
    ]


def make_comparison(model_a: str, model_b: str, *, example_id: str) -> Comparison:
    return Comparison(
        id="verdict",
        example_id=example_id,
        model_a=model_a,
        model_b=model_b,
        winner="model_a",
        rater="judge",
        rater_kind="judge",
        swapped=False,
        created_utc="2026-01-01T00:00:00Z",
    )


def test_votes_without_answers_make_no_training_rows(tmp_path: Path):
    with open_store(tmp_path / "out") as store:
        store.add_comparisons([make_comparison("x", "y", example_id="gone")])
        (judged,) = judged_comparisons(store, kinds=("judge",))
    assert {form: len(list(FORMATS[form](judged))) for form in FORMATS} == {
        "votes": 1,
        "lmarena": 0,
        "trl_dpo": 0,
        "trl_reward": 0,
        "trl_kto": 0,
    }


def test_parquet_keeps_conversations_as_lists(voted: Store, tmp_path: Path):
    write_rows(tmp_path / "dpo.parquet", rows(voted, "trl_dpo"))
    table = pq.read_table(tmp_path / "dpo.parquet").to_pylist()
    assert table == rows(voted, "trl_dpo")


def test_command_writes_and_counts(voted: Store, parity, tmp_path: Path):
    path = tmp_path / "dpo.jsonl"
    code, out, _ = parity("export", "trl_dpo", path, "-w", voted.where, "--json")
    assert code == 0
    assert json.loads(out) == {
        "path": str(path),
        "format": "trl_dpo",
        "votes": 4,
        "rows": 2,
        "left_out": {"ties": 2},
    }
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("dpo", "x.jsonl"),
            "FORMAT must be one of votes, lmarena, trl_dpo, trl_reward, trl_kto, alpaca_eval,",
        ),
        (("votes", "x.txt"), "PATH must end in .jsonl, .json, .parquet, .csv"),
        (("votes", "x.csv", "--raters", "dog"), "--raters must be one of human"),
        (("trl_dpo", "x.csv"), "CSV holds votes alone"),
    ],
)
def test_command_says_what_is_permitted(voted: Store, parity, arguments, said: str, tmp_path: Path):
    form, name, *rest = arguments
    code, _, error = parity("export", form, tmp_path / name, *rest, "-w", voted.where)
    assert code == 2
    assert said in error
    assert not (tmp_path / name).exists()


def test_failed_export_leaves_the_file_that_was_there(voted: Store, tmp_path: Path):
    path = tmp_path / "votes.csv"
    path.write_text("before")
    with pytest.raises(InputError):
        write_rows(path, rows(voted, "trl_dpo"))
    assert path.read_text() == "before"
    assert list(tmp_path.glob(".votes*")) == []
