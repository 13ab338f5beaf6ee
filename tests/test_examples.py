"""Which examples a report shows, and whose answers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from evalcore.records import Comparison, Example, Message, ModelSpec
from evalcore.store import Store, arena_schema, open_store
from leaderboards.request import BoardRequest
from leaderboards.samples import Answers, load_samples, task_answers
from leaderboards.standings import standings
from reports.evidence import collect
from reports.examples import most_disputed


def spec(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        yield store


def run_texts(found: Answers, example_ids: list[str]) -> list[str]:
    by_example = {example_id: text for (_model, example_id), text in found.texts.items()}
    return [by_example[example_id] for example_id in example_ids]


def write_task(folder: Path, name: str, **settings: object) -> Path:
    lines = [json.dumps({"prompt": f"What is {n}?", "reference": str(n)}) for n in range(4)]
    (folder / "shared.jsonl").write_text("\n".join(lines))
    task = {"name": name, "kind": "generate", "examples": "shared.jsonl", "metrics": ["contains"]}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(task | settings))
    return path


def test_tasks_that_share_examples_show_their_own_answers(tmp_path, parity):
    plain = write_task(tmp_path, "plain", system="Answer plainly.")
    other = write_task(tmp_path, "other", system="Answer otherwise.")
    code, _out, err = parity(
        "eval", "-m", "a=fake:a", "-t", plain, "-t", other, "-w", tmp_path / "out"
    )
    assert code == 0, err
    with open_store(tmp_path / "out") as store:
        runs = {run.task: run for run in store.runs()}
        examples = store.examples(runs["plain"].task_hash)
        assert examples == store.examples(runs["other"].task_hash)
        both = {task: task_answers(store, [run], examples) for task, run in runs.items()}
        assert both["plain"].texts.keys() == both["other"].texts.keys()
        assert len(list(store.answers([e.id for e in examples]))) == 8
        for task, found in both.items():
            assert found.n_uncertain == 0
            samples = load_samples(store, runs[task])
            own = run_texts(found, [s.example.id for s in samples])
            assert [s.answer for s in samples] == own
        assert both["plain"].texts != both["other"].texts


def test_answers_whose_request_cant_be_made_again_are_counted(store, add_results):
    run = add_results(store, spec("a"), "sums", [1.0, 0.0])
    examples = store.examples(run.task_hash)
    assert task_answers(store, [run], examples).n_uncertain == 0
    from evalcore.protocols import Completion
    from evalcore.store.store import Answered

    again = Completion(
        text="other", finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0.1
    )
    more = [Answered(example_id=examples[0].id, request_key="f" * 32, response=again)]
    store.add_responses(run.spec.fingerprint, more, task_hash="x", took=run.efficiency)
    assert task_answers(store, [run], examples).n_uncertain == 1


def test_the_most_disputed_examples_are_shown_with_equal_answers_together(store, add_results):
    rng = np.random.default_rng(0)
    agreed = [1.0] * 20
    for name in ("a", "b", "c", "d"):
        values = [float(rng.random() < 0.5), float(name in "ab"), *agreed]
        add_results(store, spec(name), "sums", values)
    cards, notes = most_disputed(collect(standings(store), store), store)
    assert 1 <= len(cards) <= 2
    evenly = next(card for card in cards if "question 1?" in card.prompt)
    given = [(set(given.models), given.value) for given in evenly.answers]
    assert given == [({"a", "b"}, 1.0), ({"c", "d"}, 0.0)]
    assert notes == ()


def vote(number: int, winner: str, **given) -> Comparison:
    made = Comparison(
        id=f"v{number}",
        example_id="e1",
        model_a=spec("a").fingerprint,
        model_b=spec("b").fingerprint,
        winner=winner,
        rater=f"r{number}",
        rater_kind="human",
        swapped=False,
        explanation="a private comment",
        created_utc="2026-01-01T00:00:00Z",
    )
    return replace(made, **given)


@pytest.fixture
def voted(store: Store) -> Store:
    for name in "ab":
        store.add_model(spec(name))
    message = (Message(role="user", content="Which is better?"),)
    store.add_examples([Example(id="e1", messages=message)])
    judged = vote(9, "model_b", rater="judge", rater_kind="judge", explanation="B is kinder")
    store.add_comparisons([vote(1, "model_a"), vote(2, "model_b"), vote(3, "tie"), judged])
    return store


def test_judged_prompts_show_counts_and_reasons_of_judges_but_no_persons_comment(voted):
    (card,), _notes = most_disputed(collect(standings(voted), voted), voted)
    judges, people = card.verdicts
    assert (people.n_a, people.n_b, people.n_ties, people.explanations) == (1, 1, 1, ())
    assert judges.explanations == (("judge", "b", "B is kinder"),)


def test_prompts_that_visitors_typed_are_not_shown(voted):
    row = dict.fromkeys((c.name for c in arena_schema.battle.c), "x")
    numbers = ("side_seed", "created_ms", "ready_ms", "expires_ms")
    row |= dict.fromkeys(numbers, 1) | {"example_id": "e1", "typed": True, "rated": True}
    row |= {"forgotten": False}
    with voted.engine.begin() as connection:
        connection.execute(sa.insert(arena_schema.battle), [row])
    cards, _notes = most_disputed(collect(standings(voted), voted), voted)
    assert cards == []


def test_votes_of_a_study_under_way_are_shown_only_to_who_asks_for_them(voted, monkeypatch):
    monkeypatch.setattr(type(voted), "hidden_examples", lambda _store: frozenset({"e1"}))
    evidence = collect(standings(voted), voted)
    assert [item.rater_kind for item in evidence.comparisons] == ["judge"]
    asked = collect(standings(voted, BoardRequest(under_way=True)), voted)
    assert "human" in {item.rater_kind for item in asked.comparisons}
