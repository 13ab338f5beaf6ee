"""``--executor``: what can be said, and what is refused in one line."""

import importlib.util

import pytest

from evalcore.errors import InputError
from runners.cluster.choice import parse_executor

BAD = {
    "slurm": "must be local, ray or ray://",
    "ray:/head": "must be local, ray or ray://",
    "ray://": "must be local, ray or ray://",
    "ray://head:port": "must be local, ray or ray://",
    "ray://head:99999": "must be local, ray or ray://",
    "ray?worker=2": "must be one of workers, cpus, gpus, memory",
    "ray?resource.=2": "must be one of workers, cpus, gpus, memory",
    "ray?2": "NAME=VALUE|must be one of",
    "ray?workers=0": "workers of --executor must be a whole number of at least 1; got '0'",
    "ray?gpus=1.5": "gpus of --executor must be a number, whole above 1; got '1.5'",
    "ray?cpus=nan": "cpus of --executor must be a number of at least 0; got 'nan'",
    "ray?memory=much": "memory must be an amount",
}


def test_local_is_no_cluster():
    assert parse_executor("local") is None


def test_address_and_what_a_worker_takes_are_read():
    text = "ray://head?workers=8&gpus=0.5&cpus=2&memory=8GiB&resource.fast=1&label.zone=a"
    choice = parse_executor(text)
    assert choice.address == "head:6379"
    assert (choice.workers, choice.gpus, choice.cpus) == (8, 0.5, 2.0)
    assert choice.memory_bytes == 8 * 2**30
    assert (choice.resources, choice.labels) == ((("fast", 1.0),), (("zone", "a"),))


def test_no_address_means_this_machine_or_the_environment():
    assert parse_executor("ray").address is None


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_read_is_refused(text: str):
    with pytest.raises(InputError, match=BAD[text]):
        parse_executor(text)


def test_missing_ray_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'parity-eval\[ray\]'"):
        parse_executor("ray")
