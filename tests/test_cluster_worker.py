"""What a worker does with a base and its files, without a cluster."""

import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest
from evalcore.records import ModelSpec, SamplingParams
from runners import RunnerOptions, parse_model, resolve
from runners.cluster.worker import (
    Answers,
    DifferentFiles,
    Refused,
    Worker,
    differing_file,
    load_checked,
)
from runners.fake import FakeResident, FakeRunner

LOGGERS = ("evalcore", "runners", "py.warnings")
SPEC = ModelSpec(name="fake", backend="fake", weights="fake")


class House:
    """Loads fake bases and counts them."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.closed = 0

    def load(self, spec: ModelSpec) -> FakeResident:
        self.loaded.append(spec.weights)
        house = self

        class Resident(FakeResident):
            def runner(self, spec: ModelSpec) -> FakeRunner:
                return Picky(spec)

            def close(self) -> None:
                house.closed += 1

        return Resident()


class Picky(FakeRunner):
    """Can't stand some prompts."""

    def generate(self, requests):
        if any(request.prompt == "bad" for request in requests):
            raise RuntimeError("I can't stand this")
        if any(request.prompt == "wrong" for request in requests):
            raise ModelError("this is wrong")
        yield from super().generate(requests)


def ask(prompt: str) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, params=SamplingParams())


@pytest.fixture(autouse=True)
def _listening_ends():
    """A worker listens to its process's log; here that is the tests' process."""
    before = {name: list(logging.getLogger(name).handlers) for name in LOGGERS}
    yield
    logging.captureWarnings(False)
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def worker(house: House) -> Worker:
    return Worker(house.load)


def test_a_unit_is_answered_part_after_part(worker: Worker):
    said = worker.run(SPEC, [[ask("a"), ask("b")], [ask("c")]])
    assert {place: found.text for place, found in said.finished.results} == {0: "a", 1: "b", 2: "c"}
    assert said.finished.efficiency.decode_tokens == 3


def test_a_part_that_fails_leaves_the_others_alone(worker: Worker):
    said = worker.run(SPEC, [[ask("a")], [ask("bad"), ask("b")], [ask("c")]])
    assert said.failed == [(1, "RuntimeError: I can't stand this")]
    assert {place: found.text for place, found in said.finished.results} == {0: "a", 3: "c"}
    assert "Traceback" in "".join(said.log)


def test_bad_input_ends_the_command(worker: Worker):
    said = worker.run(SPEC, [[ask("wrong")]])
    assert isinstance(said, Refused)
    assert str(said.error) == "this is wrong"


def test_a_base_is_loaded_once_for_its_units_and_goes_for_the_next(worker: Worker, house: House):
    other = ModelSpec(name="other", backend="fake", weights="other")
    for spec in (SPEC, SPEC, other, other):
        assert isinstance(worker.run(spec, []), Answers)
    assert house.loaded == ["fake", "other"]
    assert house.closed == 1


def test_a_model_that_cannot_be_loaded_fails_all_parts(house: House):
    def load(_spec: ModelSpec) -> FakeResident:
        raise MemoryError

    said = Worker(load).run(SPEC, [[ask("a")], [ask("b")]])
    assert said.failed == [(0, "MemoryError"), (1, "MemoryError")]


def test_a_file_that_differs_on_a_node_is_refused_by_name(tmp_path: Path):
    source = resolve(parse_model("zoo:tiny"))
    here, there = tmp_path / "here" / "tiny", tmp_path / "there" / "tiny"
    for folder in (here, there):
        shutil.copytree(source.weights, folder)
    config = there / "generation_config.json"
    config.write_text(config.read_text("utf-8") + "\n")
    spec = resolve(parse_model(f"hf:{here}"))
    moved = replace(spec, weights=str(there))
    said = Worker(partial(load_checked, options=RunnerOptions())).run(moved, [[ask("a")]])
    assert isinstance(said.error, DifferentFiles)
    assert differing_file(spec, said.error.hashes) == "tiny/generation_config.json"
