"""What is paid: once, whoever asks, and no more than was said."""

import subprocess
import sys
import tracemalloc

import pytest
import sqlalchemy as sa

from evalcore.judges.jobs import JudgingJob, estimate, work_of
from evalcore.judges.planning import plan_units
from evalcore.judges.prompt_files import load_protocol
from evalcore.protocols import Completion

FAILED = Completion(
    text="HTTP 500", finish_reason="error", prompt_tokens=0, completion_tokens=0, duration_s=0.0
)


def a_wins(_prompt: str) -> str:
    return '{"verdict": "A"}'


@pytest.fixture
def plan(room, question):
    examples = [question(f"q{n}", f"Question {n}?") for n in range(5)]
    for example in examples:
        specs = [room.answer(example, name, f"{name} {example.id}") for name in ("one", "two")]
    return room.plan(specs, examples)


def price(_judge, prompt_tokens: int, completion_tokens: int) -> float:
    return (prompt_tokens + 10 * completion_tokens) / 1e6


def judging(plan, judge) -> JudgingJob:
    return JudgingJob(plan=plan, protocol=load_protocol("pairwise"), judges=(judge,))


def test_nothing_is_asked_twice(room, plan):
    judge = room.member(a_wins)
    first = room.judge(plan, judge)
    second = room.judge(plan, judge)
    assert len(room.asked(judge)) == 10
    assert (first.judges[0].n_asked, second.judges[0].n_asked) == (10, 0)
    assert second.judges[0].spent_usd == 0
    assert second.judges[0].tally.cost_usd == pytest.approx(0.1)
    assert first.pairs == second.pairs


def test_failed_calls_are_told_by_reason_and_asked_again(room, plan):
    states = iter([FAILED, a_wins(""), FAILED])
    judge = room.member(lambda _prompt: next(states, a_wins("")))
    first = room.judge(plan, judge)
    assert first.judges[0].tally.n_missing == 2
    assert "2 answers could not be had (2 × judge: HTTP 500)" in first.problems[0]
    assert first.pairs[0].n_unscored == 2
    second = room.judge(plan, judge)
    assert second.problems == ()
    assert len(room.asked(judge)) == 12


def test_interrupted_job_keeps_what_came_and_lets_the_rest_go(room, plan):
    replies = iter([a_wins("")] * 3)

    def reply(prompt: str) -> str:
        try:
            return next(replies)
        except StopIteration:
            raise KeyboardInterrupt from None

    judge = room.member(reply)
    with pytest.raises(KeyboardInterrupt):
        room.judge(plan, judge)
    assert n_claims(room) == 0
    room.runners[judge.fingerprint].reply = a_wins
    assert room.judge(plan, judge).judges[0].n_asked == 7


def test_interruption_while_storing_loses_no_reply(room, plan, monkeypatch):
    """Ctrl-C may come while a reply that has been paid for is being written."""
    judge, write = room.member(a_wins), room.store.add_batches
    calls = []

    def interrupted_once(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        write(*arguments, **named)

    monkeypatch.setattr(room.store, "add_batches", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        room.judge(plan, judge)
    assert len(room.asked(judge)) == 1
    assert room.judge(plan, judge).judges[0].n_asked == 9


def test_another_prompt_version_is_another_call(room, plan):
    judge = room.member(a_wins)
    room.judge(plan, judge)
    longer = load_protocol("pairwise").with_max_new_tokens(77)
    room.judge(plan, judge, protocol=longer)
    assert len(room.asked(judge)) == 20


def test_estimate_follows_what_has_been_seen(room, plan):
    judge = room.member(a_wins)
    job = judging(plan, judge)
    (before,) = estimate(job, room.store, price=price)
    assert (before.n_calls, before.n_left) == (10, 10)
    assert before.completion_tokens == 10 * 1024
    room.judge(room.plan(plan.specs, plan.examples[:2]), judge)
    (after,) = estimate(job, room.store, price=price)
    assert after.n_left == 6
    assert after.prompt_tokens == pytest.approx(600, abs=6)
    assert after.completion_tokens == 60
    assert after.cost_usd == price(judge, after.prompt_tokens, 60)
    assert len(room.asked(judge)) == 4


def n_claims(room) -> int:
    with room.store._engine.connect() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM claim"))


CLAIMING = """
import os, signal, sys
from pathlib import Path
from evalcore.store import open_store
with open_store(Path(sys.argv[1])) as store, store.claiming():
    print(sorted(store.claim("judge", ["k1", "k2"])), flush=True)
    if sys.stdin.readline() == "die\\n":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def elsewhere(room):
    """Another process that has claimed two calls and waits for a word."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMING, room.store.where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "['k1', 'k2']\n"
    with process:
        yield process


@pytest.mark.parametrize("word", ["die\n", "end\n"])
def test_claims_hold_while_their_process_lives(room, elsewhere, word: str):
    assert room.store.claim("judge", ["k2", "k3"]) == {"k3"}
    assert room.store.claim("another judge", ["k2"]) == {"k2"}
    elsewhere.communicate(word, timeout=60)
    assert room.store.claim("judge", ["k2", "k3"]) == {"k2", "k3"}


def test_claims_of_another_machine_hold_until_they_expire(room):
    claim = sa.text("INSERT INTO claim VALUES ('judge', :key, 'elsewhere:1:1', :expires_utc)")
    with room.store._engine.begin() as connection:
        connection.execute(claim, {"key": "old", "expires_utc": "2026-01-01T00:00:00Z"})
        connection.execute(claim, {"key": "new", "expires_utc": "2999-01-01T00:00:00Z"})
    assert room.store.claim("judge", ["old", "new"]) == {"old"}


def test_released_claims_leave_nothing_behind(room):
    with room.store.claiming():
        assert room.store.claim("judge", ["k"]) == {"k"}
        assert n_claims(room) == 1
    assert n_claims(room) == 0


def test_call_that_two_pairs_share_is_counted_once(room, question):
    """As where two models give one answer, which is compared with a third."""
    example = question("q", "Which?")
    specs = [room.answer(example, name, text) for name, text in zip("abc", "xxy", strict=True)]
    plan = room.plan(specs, [example])
    judge = room.member(a_wins)
    (left,) = estimate(judging(plan, judge), room.store, price=price)
    tally = room.judge(plan, judge).judges[0].tally
    assert left.n_calls == tally.n_calls == len(room.asked(judge)) == 2
    assert tally.cost_usd == pytest.approx(0.02)


def test_a_jobs_prompts_are_not_held_together(room, question):
    examples = [question(f"q{n}", f"Question {n}?") for n in range(50)]
    for example in examples:
        specs = [room.answer(example, name, name + example.id + 10_000 * "x") for name in "ab"]
    judge = room.member(a_wins)
    job = judging(room.plan(specs, examples), judge)
    units = list(plan_units(job.plan))
    tracemalloc.start()
    try:
        work = work_of(job, judge, units)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(work.jobs) == 100
    assert held < 200_000  # of 2,000,000 characters
    assert work.jobs[7].request.key == work.jobs[7].key
