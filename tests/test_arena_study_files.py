"""A study's files: what is read, and how mistakes are told."""

import json
from pathlib import Path

import pytest

from arena.studies.definition import read_study
from arena.studies.registry import load_study, register_study
from evalcore.errors import InputError
from evalcore.protocols import Completion
from evalcore.records import Efficiency, Example, ModelSpec, SamplingParams
from evalcore.store import open_store
from evalcore.store.store import Answered
from evalcore.tasks.prompt_sets import read_prompts

LINES = [
    {"id": "p1", "prompt": "One?", "answers": {"koala": "eins", "alpaca": "uno", "llama": "un"}},
    {"id": "p2", "prompt": "Two?", "answers": {"koala": "zwei", "alpaca": "dos", "llama": "deux"}},
]
GOLD = [{"prompt": "Known?", "answers": {"good": "yes", "bad": "no"}, "expected": "good"}]


def write(folder: Path, **settings: object) -> Path:
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    (folder / "gold.jsonl").write_text("\n".join(map(json.dumps, GOLD)))
    given = {"name": "koala", "models": ["koala", "alpaca"], "answers": "answers.jsonl", **settings}
    path = folder / "study.yaml"
    path.write_text(json.dumps({key: value for key, value in given.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": []}, "unknown key 'model'"),
        ({"models": ["koala"]}, "at least 2"),
        ({"models": ["koala", "koala"]}, "must differ"),
        ({"ratings_per_item": 0}, "greater than or equal to 1"),
        ({"kind": "rating"}, "needs scales or labels"),
        ({"scales": [{"name": "x"}]}, "for studies of kind rating"),
        ({"kind": "rating", "scales": [{"name": "x", "low": 5}]}, "low must be less"),
        ({"kind": "ranking", "stop": {"rule": "anytime"}}, "anytime needs kind pairwise"),
        ({"answers": None}, "give answers, or prompts"),
        ({"prompts": "p.jsonl"}, "come with their prompts"),
        ({"answers": {"koala": "a"}, "prompts": "p.jsonl"}, "a file for each of"),
    ],
)
def test_mistake_in_the_file_is_one_line_that_names_it(tmp_path: Path, settings, said: str):
    path = write(tmp_path, **settings)
    with pytest.raises(InputError, match=said) as raised:
        read_study(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "x", "answers": {"koala": "a"}}, "no answer of alpaca"),
        ({"prompt": "x", "answers": "a"}, "must map each model"),
        ({"prompt": "x", "answers": {"koala": 1, "alpaca": "b"}}, "must be 1 text"),
        ({"turns": ["x", "y"], "answers": {"koala": "a", "alpaca": "b"}}, "must be 2 texts"),
    ],
)
def test_mistake_in_the_answers_names_file_and_line(tmp_path: Path, line, said: str):
    path = write(tmp_path)
    (tmp_path / "answers.jsonl").write_text(json.dumps(line))
    with open_store(tmp_path / "out") as store, pytest.raises(InputError, match=said) as raised:
        register_study(path, store)
    assert "answers.jsonl, line 1" in str(raised.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"answers": {"good": "a"}, "expected": "good"}, "answers must be 2"),
        ({"answers": {"good": "a", "bad": "b"}, "expected": "left"}, "expected must be one of"),
        ({"answers": {"good": "a", "bad": "b"}, "expected": "both_bad"}, "one of good, bad, tie"),
    ],
)
def test_mistake_in_the_gold_names_file_and_line(tmp_path: Path, line, said: str):
    path = write(tmp_path, gold={"file": "gold.jsonl"})
    (tmp_path / "gold.jsonl").write_text(json.dumps({"prompt": "x", **line}))
    with open_store(tmp_path / "out") as store, pytest.raises(InputError, match=said) as raised:
        register_study(path, store)
    assert "gold.jsonl, line 1" in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "shown_together"),
    [
        ({"models": ["koala", "alpaca", "llama"]}, [2] * 6),
        ({"models": ["koala", "alpaca", "llama"], "kind": "ranking"}, [3, 3]),
        ({"models": ["llama"], "kind": "rating", "labels": ["rude"]}, [1, 1]),
    ],
)
def test_items_are_pairs_lists_or_single_answers(tmp_path: Path, settings, shown_together):
    with open_store(tmp_path / "out") as store:
        registered = register_study(write(tmp_path, **settings), store)
    assert [len(item.answers) for item in registered.items] == shown_together


def test_study_read_back_is_the_same(tmp_path: Path):
    path = write(tmp_path, gold={"file": "gold.jsonl"}, training="gold.jsonl")
    with open_store(tmp_path / "out") as store:
        registered = register_study(path, store)
        assert register_study(path, store) == registered
        with store.engine.connect() as connection:
            assert load_study(connection, "koala") == registered
    assert [item.kind for item in registered.items] == ["main", "main", "gold", "training"]


def test_changed_study_needs_another_name(tmp_path: Path):
    with open_store(tmp_path / "out") as store:
        register_study(write(tmp_path), store)
        with pytest.raises(InputError, match="a changed study needs a name of its own"):
            register_study(write(tmp_path, ratings_per_item=2), store)
        register_study(write(tmp_path, ratings_per_item=2, name="koala-2"), store)


def test_answers_may_come_from_a_file_for_each_model(tmp_path: Path):
    (tmp_path / "prompts.jsonl").write_text('{"question_id": 1, "text": "One?"}')
    for model in ("koala", "alpaca"):
        line = {"question_id": 1, "text": f"by {model[0]}"}
        (tmp_path / f"{model}.jsonl").write_text(json.dumps(line))
    files = {"koala": "koala.jsonl", "alpaca": "alpaca.jsonl"}
    with open_store(tmp_path / "out") as store:
        path = write(tmp_path, answers=files, prompts="prompts.jsonl")
        (item,) = register_study(path, store).items
    assert [answer.turns for answer in item.answers] == [("by k",), ("by a",)]


def test_answers_may_come_from_the_workspace(tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("One?")
    (example,) = read_prompts(tmp_path / "prompts.txt")
    path = write(tmp_path, answers=None, prompts="prompts.txt")
    with open_store(tmp_path / "out") as store:
        specs = [ModelSpec(name=name, backend="fake", weights=name) for name in ("koala", "alpaca")]
        for spec in specs:
            add_answer(store, spec, example, f"by {spec.name[0]}")
        (item,) = register_study(path, store).items
    assert item.models == tuple(spec.fingerprint for spec in specs)
    assert [(answer.name, answer.turns) for answer in item.answers] == [
        ("koala", ("by k",)),
        ("alpaca", ("by a",)),
    ]


def test_missing_answer_in_the_workspace_is_named(tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("One?")
    path = write(tmp_path, answers=None, prompts="prompts.txt")
    with open_store(tmp_path / "out") as store:
        with pytest.raises(InputError, match="'koala' is not in the workspace"):
            register_study(path, store)
        for name in ("koala", "alpaca"):
            store.add_model(ModelSpec(name=name, backend="fake", weights=name))
        with pytest.raises(InputError, match=r"koala has no stored answer to 'One\?'"):
            register_study(path, store)


def add_answer(store, spec: ModelSpec, example: Example, text: str) -> None:
    completion = Completion(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0.1
    )
    answered = Answered(
        example_id=example.id, request_key="k", response=completion, params=SamplingParams()
    )
    store.add_model(spec)
    store.add_responses(spec.fingerprint, [answered], task_hash="t", took=Efficiency())
