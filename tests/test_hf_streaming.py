from contextlib import closing

import pytest

from evalcore.errors import InputError, ModelError
from evalcore.protocols import GenerateRequest, InterleavedRunner, StreamingRunner
from evalcore.records import SamplingParams
from runners.fake import FakeRunner
from runners.hf.generation import Ending
from runners.hf.streaming import TextStream

PROMPTS = ["The quick", "What is 12 + 30?", "", "USER: Hello there! ASSISTANT:", "日本", "x"]
PARAMS = [{}, {"temperature": 1.3, "seed": 5}]


def ask(prompt, **params):
    return GenerateRequest(prompt=prompt, params=SamplingParams(**{"max_new_tokens": 24} | params))


@pytest.fixture(params=["auto", "plain"])
def engine(request) -> str:
    """In slots and in static batches."""
    return request.param


def together(steps):
    """Put the pieces of several answers together: text and finish reason of each."""
    texts, reasons = {}, {}
    for pieces in steps:
        for piece in pieces:
            assert piece.request not in reasons
            texts[piece.request] = texts.get(piece.request, "") + piece.text
            if piece.finish_reason:
                reasons[piece.request] = piece.finish_reason
    return {index: (texts[index], reasons.get(index)) for index in sorted(texts)}


def always(_index):
    return True


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_pieces_are_the_text_of_generate(tiny_model, run_model, engine, collect, prompt, params):
    runner: StreamingRunner = run_model(f"hf:{tiny_model.folder}", engine=engine)
    request = ask(prompt, **params)
    (wanted,) = collect(runner.generate([request]))
    pieces = list(runner.stream(request))
    assert "".join(pieces) == wanted.text
    assert all(pieces)
    assert len(pieces) > 1 or len(wanted.text) < 10


@pytest.mark.parametrize("params", PARAMS)
def test_stop_strings_are_cut_and_never_shown_in_part(llama, run_model, engine, collect, params):
    runner = run_model(f"hf:{llama.folder}", engine=engine)
    (whole,) = collect(runner.generate([ask("The quick", **params)]))
    for start in range(2, len(whole.text) - 4):
        stop = (whole.text[start : start + 4], "never said")
        request = ask("The quick", stop=stop, **params)
        # The stop strings change the seed of a sampled answer, so its text is another one.
        (wanted,) = collect(runner.generate([request]))
        assert "".join(runner.stream(request)) == wanted.text


@pytest.mark.parametrize("params", PARAMS)
def test_answers_streamed_together_are_those_of_generate(
    tiny_model, run_model, engine, collect, params
):
    runner: InterleavedRunner = run_model(f"hf:{tiny_model.folder}", engine=engine)
    requests = [ask(prompt, max_new_tokens=n, **params) for prompt in PROMPTS for n in (7, 24)]
    wanted = collect(runner.generate(requests))
    streamed = together(runner.stream_together(requests, wanted=always))
    assert streamed == {i: (one.text, one.finish_reason) for i, one in enumerate(wanted)}


def test_closing_the_stream_ends_the_generation(llama, run_model, engine):
    runner = run_model(f"hf:{llama.folder}", engine=engine)
    with closing(runner.stream(ask("The quick", max_new_tokens=80))) as stream:
        first = next(stream)
    assert first
    assert list(stream) == []
    assert "".join(runner.stream(ask("The quick", max_new_tokens=80))).startswith(first)


def test_closing_the_stream_stops_calling_the_model(llama, run_model, engine):
    runner = run_model(f"hf:{llama.folder}", engine=engine)
    calls = []
    hook = runner._ready.model.register_forward_hook(lambda *_: calls.append(1))
    with closing(runner.stream(ask("The quick", max_new_tokens=80))) as stream:
        next(stream)
    hook.remove()
    assert 1 <= len(calls) < 10


def test_answer_that_is_wanted_no_more_is_dropped_and_others_go_on(
    tiny_model, run_model, engine, collect
):
    runner = run_model(f"hf:{tiny_model.folder}", engine=engine)
    requests = [ask(prompt) for prompt in PROMPTS]
    whole = collect(runner.generate(requests))
    dropped: set[int] = set()
    steps = runner.stream_together(requests, wanted=lambda index: index not in dropped)
    first = [next(steps) for _ in range(4)]
    dropped |= {0, 3}
    streamed = together([*first, *steps])
    for index, (text, reason) in streamed.items():
        if index in dropped:
            assert reason is None
            assert whole[index].text.startswith(text)
        else:
            assert (text, reason) == (whole[index].text, whole[index].finish_reason)


def test_variants_that_take_turns_do_not_touch_each_other_s_answers(llama, engine, collect):
    from runners import RunnerOptions, open_together, parse_model

    base = f"hf:{llama.folder}"
    strings = [base, *(f"{base}+lora:{path}" for path in llama.adapters.values())]
    specs = [parse_model(string) for string in strings]
    with open_together(specs, options=RunnerOptions(engine=engine)) as (runners,):
        requests = [ask("The quick"), ask("x", temperature=1.0)]
        alone = [collect(runner.generate(requests)) for runner in runners]
        streams = [runner.stream_together(requests, wanted=always) for runner in runners]
        steps: list[list] = [[] for _ in streams]
        for _ in range(60):
            for stream, taken in zip(streams, steps, strict=True):
                taken += [step for step in [next(stream, None)] if step is not None]
        texts = [together(taken) for taken in steps]
    assert texts == [{i: (a.text, a.finish_reason) for i, a in enumerate(one)} for one in alone]
    assert len({str(one) for one in texts}) == 3


def test_closed_runner_says_so_instead_of_streaming(llama):
    from runners import open_together, parse_model

    with open_together([parse_model(f"hf:{llama.folder}")]) as ((runner,),):
        pass
    with pytest.raises(ModelError, match="is closed"):
        next(runner.stream(ask("x")))


def test_settings_outside_their_ranges_are_refused(llama, run_model):
    with pytest.raises(InputError, match="temperature must be at least 0"):
        next(run_model(f"hf:{llama.folder}").stream(ask("x", temperature=-1.0)))


def test_model_s_error_reaches_who_follows_the_stream(llama, run_model, engine):
    runner = run_model(f"hf:{llama.folder}", engine=engine)

    def fail(*_):
        raise RuntimeError("broken layer")

    hook = runner._ready.model.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="broken layer"):
            next(runner.stream(ask("x")))
    finally:
        hook.remove()
    assert "".join(runner.stream(ask("x")))


def text_stream(stop=()):
    ending = Ending(tokens=frozenset(), strings=stop)
    decode = lambda rows: [bytes(row).decode(errors="replace") for row in rows]  # noqa: E731
    return TextStream(0, ending, decode)


def test_character_is_held_back_until_it_is_whole():
    stream = text_stream()
    tokens = list("a日b".encode())
    pieces = [stream.advance(tokens[:n]).text for n in range(1, 6)]
    assert pieces == ["a", "", "", "日", "b"]


def test_answer_that_ends_within_a_character_shows_that():
    stream = text_stream()
    stream.advance([0xE6])
    assert stream.finish([0xE6, 0x97], stopped=False).text == "\ufffd"


def test_beginning_of_a_stop_string_is_held_back():
    stream = text_stream(stop=("STOP", "OPEN"))
    text = b"go STO on STOP"
    pieces = [stream.advance(text[:n]).text for n in range(1, len(text))]
    assert "".join(pieces) == "go STO on "
    assert stream.finish(text, stopped=True).text == ""


def test_tokenizer_that_rewrites_is_an_error():
    stream = text_stream()
    stream.advance(b"abc")
    with pytest.raises(ModelError, match="rewrites"):
        stream.finish(b"xbc", stopped=True)


@pytest.mark.parametrize("text", ["", " one  two\n", "word", "\n\n"])
def test_fake_streams_what_it_would_generate(collect, text):
    runner: InterleavedRunner = FakeRunner(answers={"q": text})
    requests = [ask("q"), ask("three words here", max_new_tokens=2)]
    wanted = collect(runner.generate(requests))
    assert "".join(runner.stream(requests[0])) == wanted[0].text
    streamed = together(runner.stream_together(requests, wanted=always))
    assert streamed == {i: (one.text, one.finish_reason) for i, one in enumerate(wanted)}
