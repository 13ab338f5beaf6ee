import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from evalcore.energy import EnergyMeter
from evalcore.evaluate import evaluate
from evalcore.executors import LocalExecutor
from evalcore.prompting import answer_prompts
from evalcore.protocols import GenerateRequest, Loglikelihood, Runner
from evalcore.records import Efficiency, ModelSpec, SamplingParams
from evalcore.store import Store, open_store
from evalcore.tasks import load_task
from evalcore.tasks.prompt_sets import read_prompts
from leaderboards.standings import standings
from runners.fake import FakeRunner

SPEC = ModelSpec(name="fake", backend="fake", weights="fake")
OTHER = ModelSpec(name="other", backend="fake", weights="other")


class FakeHouse:
    """Opens fake runners and remembers them; one may be told to break after some batches."""

    def __init__(self, runner_type: type[FakeRunner] = FakeRunner) -> None:
        self.runner_type = runner_type
        self.opened: list[FakeRunner] = []

    def open(self, specs: Sequence[ModelSpec]) -> Iterator[Runner]:
        for spec in specs:
            self.opened.append(self.runner_type(spec, answers={"1+1=": "2", "2+2=": "5"}))
            yield self.opened[-1]

    @property
    def n_requests(self) -> int:
        return sum(len(call) for runner in self.opened for call in runner.calls)


class BreakingRunner(FakeRunner):
    """Is killed after its first batch."""

    def generate(self, requests: Sequence[GenerateRequest]):
        yield next(super().generate(requests))
        raise KeyboardInterrupt


class NanRunner(FakeRunner):
    """Has numbers that are none."""

    def loglikelihood(self, requests):
        for finished in super().loglikelihood(requests):
            nan = Loglikelihood(logprob=math.nan, is_greedy=False, n_tokens=1)
            finished.results[:] = [(place, nan) for place, _ in finished.results]
            yield finished


def silent(_label: str, _total: int):
    return lambda _count, _cost: None


@pytest.fixture
def task(tmp_path: Path):
    lines = [
        {"prompt": "1+1=", "reference": "2", "category": "easy"},
        {"prompt": "2+2=", "reference": "4", "category": "easy"},
        *({"prompt": f"{n}+0=", "reference": f"{n}+0=", "category": "hard"} for n in range(10)),
    ]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)))
    keys = {"name": "sums", "kind": "generate", "examples": "sums.jsonl"}
    (tmp_path / "sums.yaml").write_text(json.dumps(keys | {"metrics": ["exact_match"]}))
    return load_task(str(tmp_path / "sums.yaml"))


@pytest.fixture
def choices(tmp_path: Path):
    lines = [{"prompt": f"{n}?", "choices": ["a", "b"], "answer": 0} for n in range(5)]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    keys = {"name": "choice", "kind": "multiple_choice", "examples": "c.jsonl"}
    (tmp_path / "c.yaml").write_text(json.dumps(keys))
    return load_task(str(tmp_path / "c.yaml"))


@pytest.fixture
def store(tmp_path: Path):
    with open_store(tmp_path / "out") as store:
        yield store


def test_evaluate_scores_every_example(task, store):
    (run,) = evaluate([SPEC], [task], store, executor=LocalExecutor(FakeHouse().open), begin=silent)
    estimate = run.estimates["exact_match"]
    assert (estimate.value, estimate.n) == (pytest.approx(11 / 12), 12)
    assert run.estimates["exact_match/easy"].value == 0.5
    assert run.efficiency.prefill_tokens == 12


def test_evaluate_records_the_energy_that_the_machine_tells(task, store):
    counted = count(100, 5)  # read before and after each batch
    energy = EnergyMeter("a test", lambda: float(next(counted)))
    executor = LocalExecutor(FakeHouse().open, energy=energy)
    (run,) = evaluate([SPEC], [task], store, executor=executor, begin=silent)
    n_batches = (next(counted) - 100) // 10
    assert n_batches > 1
    assert run.efficiency.joules == 5 * n_batches
    (cost,) = standings(store).costs.values()
    tokens = run.efficiency.prefill_tokens + run.efficiency.decode_tokens
    assert cost.joules_per_token == pytest.approx(5 * n_batches / tokens)


def test_energy_is_not_known_if_that_of_any_batch_is_not(store):
    for joules in (2.0, None):
        took = Efficiency(prefill_tokens=1, joules=joules)
        store.add_responses("f" * 32, [], task_hash="t" * 32, took=took)
    found = store.efficiency("f" * 32, "t" * 32)
    assert (found.prefill_tokens, found.joules) == (2, None)


def test_evaluate_again_opens_no_model_and_gives_the_same(task, store):
    first = evaluate([SPEC], [task], store, executor=LocalExecutor(FakeHouse().open), begin=silent)
    again = FakeHouse()
    second = evaluate([SPEC], [task], store, executor=LocalExecutor(again.open), begin=silent)
    assert not again.opened
    assert second[0].estimates == first[0].estimates
    assert len(store.runs()) == 1


def test_evaluate_after_interruption_does_only_what_is_missing(task, store):
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            [SPEC],
            [task],
            store,
            executor=LocalExecutor(FakeHouse(BreakingRunner).open),
            begin=silent,
        )
    assert not store.runs()
    house = FakeHouse()
    (run,) = evaluate([SPEC], [task], store, executor=LocalExecutor(house.open), begin=silent)
    assert house.n_requests == 12 - 4
    assert run.estimates["exact_match"].n == 12


def test_evaluate_runs_come_by_model_then_task(task, choices, store):
    house = FakeHouse()
    specs, tasks = [SPEC, OTHER], [task, choices]
    runs = evaluate(specs, tasks, store, executor=LocalExecutor(house.open), begin=silent)
    found = [(run.spec.name, run.task) for run in runs]
    assert found == [(s.name, t.name) for s in specs for t in tasks]
    assert len(house.opened) == 2


def test_same_request_of_two_tasks_is_asked_once(task, store, tmp_path: Path):
    text = (tmp_path / "sums.yaml").read_text().replace('"sums"', '"again"')
    (tmp_path / "again.yaml").write_text(text)
    house = FakeHouse()
    tasks = [task, load_task(str(tmp_path / "again.yaml"))]
    runs = evaluate([SPEC], tasks, store, executor=LocalExecutor(house.open), begin=silent)
    assert house.n_requests == 12
    assert [run.task for run in runs] == ["sums", "again"]


def test_nan_is_unscored_counted_and_told(choices, store):
    house = FakeHouse(NanRunner)
    (run,) = evaluate([SPEC], [choices], store, executor=LocalExecutor(house.open), begin=silent)
    estimate = run.estimates["accuracy"]
    assert (estimate.n, estimate.n_unscored) == (0, 5)
    assert math.isnan(estimate.value)
    assert "10 of 10 log-likelihoods are not a number" in run.warnings


def test_score_table_is_aligned_over_models(task, store):
    specs = [SPEC, OTHER]
    evaluate(specs, [task], store, executor=LocalExecutor(FakeHouse().open), begin=silent)
    table = store.score_table(task.hash, "exact_match", [spec.fingerprint for spec in specs])
    assert table.values.shape == (2, 12)
    assert table.example_ids == tuple(example.id for example in task.examples)
    assert list(table.values[0]) == [1, 0] + [1] * 10


def test_stored_run_and_scores_equal_the_returned_ones(task, store):
    (run,) = evaluate([SPEC], [task], store, executor=LocalExecutor(FakeHouse().open), begin=silent)
    assert store.runs() == [run]
    scores = store.scores(SPEC.fingerprint, task.hash)
    assert [score.example_id for score in scores] == [example.id for example in task.examples]


def answer(examples: list, store: Store, house: FakeHouse, params: SamplingParams) -> list:
    executor = LocalExecutor(house.open)
    return answer_prompts(
        [SPEC], examples, store, params=params, chat=True, executor=executor, begin=silent
    )


def test_answer_prompts_keeps_order_and_asks_once(store, tmp_path: Path):
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    examples, params = read_prompts(tmp_path / "p.txt"), SamplingParams(max_new_tokens=3)
    for expected in (3, 0):
        house = FakeHouse()
        answers = answer(examples, store, house, params)
        assert house.n_requests == expected
        assert [answer.text for answer in answers] == ["one", "two", "three"]


def test_later_turns_follow_the_models_own_answers(store, tmp_path: Path):
    lines = [{"turns": ["one", "two", "three"]}, {"turns": ["alone"]}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    examples, params = read_prompts(tmp_path / "p.jsonl"), SamplingParams(max_new_tokens=3)
    for expected in (4, 0):
        house = FakeHouse()
        answers = answer(examples, store, house, params)
        assert house.n_requests == expected
        assert [answer.text for answer in answers] == ["one", "two", "three", "alone"]
    found = store.conversations(SPEC.fingerprint, [example.id for example in examples])
    assert [len(found[example.id]) for example in examples] == [3, 1]


def test_conversation_begun_last_counts_where_there_are_several(store, tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"turns": ["one", "two"]}')
    examples = read_prompts(tmp_path / "p.jsonl")
    for length in (3, 5):
        answer(examples, store, FakeHouse(), SamplingParams(max_new_tokens=length))
    turns = store.conversations(SPEC.fingerprint, [examples[0].id])[examples[0].id]
    assert len(turns) == 2
    assert turns[0].params == turns[1].params
    assert turns[1].previous_key == turns[0].request_key
