"""Threads that models run in, and which models can be drawn."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from arena.live.health import Health
from arena.live.lanes import Ask, InterleavedLane, ThreadedLane, make_lanes
from arena.live.streams import AnswerStream
from arena.masking import Masker
from evalcore.protocols import Completion, Finished, GenerateRequest, Piece
from evalcore.records import Efficiency, ModelSpec, SamplingParams
from runners.fake import FakeRunner

PATIENCE_S = 20.0
NOBODY = Masker(["qzxj-9"])


def ask(runner, prompt: str, **params) -> Ask:
    stream = AnswerStream(NOBODY.stream(), most_characters=5000, changed=threading.Condition())
    request = GenerateRequest(prompt=prompt, params=SamplingParams(**params))
    return Ask(model=runner.spec.fingerprint, request=request, stream=stream)


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def answers(lane, asks) -> list[str]:
    for one in asks:
        lane.submit(one)
    wait_until(lambda: all(one.stream.is_over for one in asks))
    assert not any(one.stream.failure for one in asks)
    return [one.stream.raw for one in asks]


def fake(name: str) -> FakeRunner:
    return FakeRunner(ModelSpec(name=name, backend="fake", weights=name))


def test_variants_of_one_base_answer_many_visitors_as_if_each_were_alone(llama, collect):
    from runners import open_together, parse_model

    base = f"hf:{llama.folder}"
    strings = [base, *(f"{base}+lora:{path}" for path in llama.adapters.values())]
    with open_together([parse_model(string) for string in strings]) as (runners,):
        asks = [
            ask(runner, prompt, max_new_tokens=24, temperature=temperature, seed=seed)
            for prompt in ("The quick", "What is 12 + 30?", "x")
            for temperature, seed in ((0.0, 0), (1.2, 7))
            for runner in runners
        ]
        by_model = {runner.spec.fingerprint: runner for runner in runners}
        alone = [collect(by_model[one.model].generate([one.request]))[0].text for one in asks]
        # a database's text has no character 0, which random weights do write
        alone = [text.replace("\0", "\N{REPLACEMENT CHARACTER}") for text in alone]
        with closing(InterleavedLane(runners)) as lane:
            assert answers(lane, asks) == alone


def test_requests_to_one_variant_that_wait_together_are_one_batch():
    runner, gate = fake("a"), threading.Event()
    plain = runner.stream_together

    def stream_together(requests, *, wanted):
        gate.wait(PATIENCE_S)
        yield from plain(requests, wanted=wanted)

    runner.stream_together = stream_together
    with closing(InterleavedLane([runner])) as lane:
        asks = [ask(runner, f"question {n}") for n in range(4)]
        lane.submit(asks[0])
        wait_until(lane.stalled_s)
        for one in asks[1:]:
            lane.submit(one)
        gate.set()
        wait_until(lambda: all(one.stream.is_over for one in asks))
    assert sorted(map(len, runner.calls)) == [1, 3]


def test_late_visitor_does_not_wait_for_the_others_to_end():
    slow, quick = fake("slow"), fake("quick")
    gate = threading.Semaphore(0)

    def stream_together(requests, *, wanted):
        while True:
            gate.acquire(timeout=PATIENCE_S)
            yield [Piece(request=0, text="and ")]

    slow.stream_together = stream_together
    with closing(InterleavedLane([slow, quick])) as lane:
        endless, late = ask(slow, "?"), ask(quick, "short answer")
        lane.submit(endless)
        lane.submit(late)
        gate.release(3)
        wait_until(lambda: late.stream.is_over)
        assert not endless.stream.is_over
        endless.stream.drop()
        gate.release()
    assert late.stream.raw == "short answer"


def test_batch_that_raises_fails_alone_and_the_lane_goes_on():
    bad, good = fake("bad"), fake("good")

    def stream_together(requests, *, wanted):
        raise RuntimeError("CUDA\nerror")

    bad.stream_together = stream_together
    with closing(InterleavedLane([bad, good])) as lane:
        lost, kept = ask(bad, "?"), ask(good, "still here")
        lane.submit(lost)
        assert answers(lane, [kept]) == ["still here"]
        wait_until(lambda: lost.stream.failure)
        assert lost.stream.failure.message == "RuntimeError: CUDA error"
        assert answers(lane, [ask(good, "and now")]) == ["and now"]


def test_answer_that_ends_without_a_last_piece_is_a_failure():
    runner = fake("a")
    runner.stream_together = lambda requests, *, wanted: iter([[Piece(request=0, text="Hel")]])
    with closing(InterleavedLane([runner])) as lane:
        one = ask(runner, "?")
        lane.submit(one)
        wait_until(lambda: one.stream.failure)


def test_base_that_hangs_is_not_drawn_until_it_moves_again():
    stuck, free = fake("stuck"), fake("free")
    release = threading.Event()

    def stream_together(requests, *, wanted):
        release.wait(PATIENCE_S)
        yield [Piece(request=0, text="At last.", finish_reason="stop")]

    stuck.stream_together = stream_together
    lanes = make_lanes([[stuck], [free]])
    health = Health(patience_s=0.05)
    health.watch(lanes)
    models = [stuck.spec.fingerprint, free.spec.fingerprint]
    assert health.available(models) == models
    one = ask(stuck, "?")
    lanes[one.model].submit(one)
    wait_until(lambda: health.available(models) == models[1:])
    release.set()
    wait_until(lambda: health.available(models) == models)
    for lane in lanes.values():
        lane.close()


def test_endpoint_follows_several_answers_at_once():
    together = threading.Barrier(3, timeout=PATIENCE_S)

    class Endpoint:
        spec = ModelSpec(name="e", backend="openai", weights="e")

        def stream(self, request):
            together.wait()
            yield request.prompt

    runner = Endpoint()
    with closing(ThreadedLane([runner], n_threads=3)) as lane:
        assert answers(lane, [ask(runner, str(n)) for n in range(3)]) == ["0", "1", "2"]


def test_endpoint_is_stalled_only_when_all_its_threads_are():
    release = threading.Event()

    class Endpoint:
        spec = ModelSpec(name="e", backend="openai", weights="e")

        def stream(self, request):
            release.wait(PATIENCE_S)
            yield "Done."

    runner = Endpoint()
    with closing(ThreadedLane([runner], n_threads=2)) as lane:
        asks = [ask(runner, "?"), ask(runner, "?")]
        lane.submit(asks[0])
        wait_until(lambda: len(lane._moved_s) == 1)
        assert lane.stalled_s() == 0
        lane.submit(asks[1])
        wait_until(lane.stalled_s)
        release.set()
        wait_until(lambda: all(one.stream.is_over for one in asks))
        wait_until(lambda: lane.stalled_s() == 0)


def test_runner_that_can_not_stream_shows_its_answer_whole():
    class Whole:
        spec = ModelSpec(name="w", backend="other", weights="w")

        def generate(self, requests):
            completion = Completion(
                text="All at once.",
                finish_reason="length",
                prompt_tokens=1,
                completion_tokens=3,
                duration_s=0.1,
            )
            yield Finished([(0, completion)], Efficiency())

    runner = Whole()
    (lane,) = make_lanes([[runner]]).values()
    with closing(lane):
        one = ask(runner, "?")
        assert answers(lane, [one]) == ["All at once."]
        assert one.stream.finish_reason == "length"


@pytest.mark.parametrize(("n_failures", "rest_s"), [(2, 60), (3, 120), (4, 240), (9, 900)])
def test_model_rests_longer_the_more_often_it_fails_in_a_row(n_failures, rest_s):
    now = [1000.0]
    runner = fake("a")
    lanes = make_lanes([[runner]])
    health = Health(patience_s=1.0, clock=lambda: now[0])
    health.watch(lanes)
    model = runner.spec.fingerprint
    health.failed(model)
    assert health.available([model])
    for _ in range(n_failures - 1):
        health.failed(model)
    now[0] += rest_s - 1
    assert not health.available([model])
    now[0] += 1
    assert health.available([model])
    health.answered(model)
    health.failed(model)
    assert health.available([model])
    lanes[model].close()


def test_stream_takes_nothing_after_its_end():
    one = ask(fake("a"), "?").stream
    one.add("Hello.")
    one.end("stop")
    one.add(" More.")
    one.end("length")
    assert (one.raw, one.shown, one.finish_reason) == ("Hello.", "Hello.", "stop")
