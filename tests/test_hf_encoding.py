from dataclasses import replace

import pytest

from evalcore.protocols import LoglikelihoodRequest
from runners import parse_model
from runners.hf.encoding import Encoder

TEXT = "What is 12 + 30? The answer is 42. Name three colours: red, green and blue. \n\n wizards"


@pytest.fixture
def encoder(tiny_model, plain) -> Encoder:
    _, tokenizer = plain.load(tiny_model.folder)
    return Encoder(tokenizer, parse_model(f"hf:{tiny_model.folder}"))


@pytest.fixture
def tokenise(tiny_model, plain):
    _, tokenizer = plain.load(tiny_model.folder)
    return lambda text: tokenizer(text)["input_ids"]


REQUESTS = [
    LoglikelihoodRequest(context=TEXT[:at], continuation=TEXT[at : at + n])
    for at in range(3, len(TEXT))
    for n in (1, 2, 9)
]


def test_context_and_continuation_are_tokenised_together(encoder, tokenise):
    for request, (context, continuation) in zip(REQUESTS, encoder.pairs(REQUESTS), strict=True):
        assert context + continuation == tokenise(request.context + request.continuation)
        assert context
        assert continuation


def test_cut_is_where_the_context_alone_ends_unless_nothing_would_be_left(encoder, tokenise):
    n_merged = 0
    for request, (context, continuation) in zip(REQUESTS, encoder.pairs(REQUESTS), strict=True):
        alone = tokenise(request.context.rstrip())
        if len(context) + len(continuation) > len(alone):
            assert len(context) == len(alone)
        else:
            n_merged += 1
            assert context == alone[: len(context)]
            assert continuation[0] != alone[len(context)]
    assert n_merged > 0


def test_by_the_harness_s_rules_the_context_alone_is_read(encoder, tokenise):
    n_merged = 0
    requests = [replace(request, harness_rules=True) for request in REQUESTS]
    for request, pair, usual in zip(
        requests, encoder.pairs(requests), encoder.pairs(REQUESTS), strict=True
    ):
        alone = tokenise(request.context.rstrip())
        if len(alone) == len(usual[0]):
            n_merged += pair != usual
            assert pair == (alone, usual[1])
    assert n_merged > 0


def test_context_that_merges_into_one_token_leaves_the_first_token_mark(tiny_models, plain):
    _, tokenizer = plain.load(tiny_models["gpt2"].folder)
    encoder = Encoder(tokenizer, parse_model("hf:gpt2"))
    whole = next(t for t in ("Th", "Qu", "qu") if len(encoder.texts([t])[0]) == 1)
    request = LoglikelihoodRequest(context=whole[0], continuation=whole[1])
    assert encoder.pairs([request]) == [([encoder.first_token], encoder.texts([whole])[0])]


def test_empty_prompt_is_the_first_token_mark(encoder):
    assert encoder.prompts(["", "x"])[0] == [encoder.first_token]


def test_marks_come_first_once_and_never_last(encoder, tokenise):
    (ids,) = encoder.prompts(["Hello"])
    assert ids == tokenise("Hello")
    assert encoder.texts(["Hello"])[0] == ids[-len(encoder.texts(["Hello"])[0]) :]


def test_mark_that_a_tokenizer_puts_last_is_left_out(llama, plain):
    from tokenizers.processors import TemplateProcessing

    _, tokenizer = plain.load(llama.folder)
    usual = Encoder(tokenizer, parse_model(f"hf:{llama.folder}")).prompts(["Hello"])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert tokenizer("Hello")["input_ids"][-1] == 1
    assert Encoder(tokenizer, parse_model(f"hf:{llama.folder}")).prompts(["Hello"]) == usual


def test_stop_string_that_is_a_mark_ends_by_its_token(encoder):
    assert encoder.end_tokens(["</s>", "text"]) == {1}
    assert 0 in encoder.end_tokens(["<s>"])


def test_text_comes_back_as_it_was(encoder):
    ids = encoder.texts([TEXT, "日本語 too", " , . "])
    assert encoder.decode(ids) == [TEXT, "日本語 too", " , . "]
