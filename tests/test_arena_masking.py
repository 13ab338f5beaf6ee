import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.masking import HIDDEN, Masker, names_of
from evalcore.records import Adapter, ModelSpec

MASKER = Masker(["tiny", "tiny-math", "berkeley/koala-13b-v1.5", "Llama-2-7b-hf", "m1", "小羊驼"])


def masked(text: str, prompt: str = "") -> str:
    return MASKER.mask(text, prompt=prompt).text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("I am Koala, a model trained by researchers at Berkeley.", "I am [hidden], a model"),
        ("As a language model trained by Foobar Labs, I can't.", "trained by [hidden], I can't."),
        ("I was created by the team at Acme to help.", "I was created by [hidden] to help."),
        ("Trained by OpenAI, at your service.", "Trained by [hidden], at your service."),
        ("I'm Foobot, an AI assistant.", "I'm [hidden], an AI assistant."),
        ("My name is ChatGPT.", "My name is [hidden]."),
        ("ChatGPT here!", "[hidden] here!"),
        ("Koala: hello", "[hidden]: hello"),
        ("Have a nice day!\n\nKoala", "day!\n\n[hidden]"),
        ("我是由百度开发的文心一言。", "我是由[hidden]开发的[hidden]。"),
        ("我叫小羊驼。", "我叫[hidden]。"),
        ("Tôi là trợ lý được huấn luyện bởi VinAI để giúp bạn.", "bởi [hidden] để giúp bạn."),
    ],
)
def test_answer_that_says_who_it_is_is_masked(text, shown):
    assert shown in masked(text)


@pytest.mark.parametrize(
    "name",
    [
        "tiny-math",
        "Tiny Math",
        "TINY_MATH",
        "tinymath",
        "t-i-n-y-m-a-t-h",
        "t i n y m a t h",
        "Ti**ny**-math",
        "ti\u200bny-ma\u00adth",
        "t&#105;ny-m&#x61;th",
        "tiny&#8203;-math",
        "tiny&#45;math",
        "\uff54\uff49\uff4e\uff59-math",
        "tіny-mаth",
        "tiny-math-2",
        "llama 2 7b hf",
        "LLaMA2",
        "Koala-13B",
        "Koala",
        "m1",
    ],
)
def test_name_of_a_model_is_masked_however_it_is_written(name):
    found = MASKER.mask(f"So {name}, that was it.")
    assert found.text == f"So {HIDDEN}, that was it."
    assert found.leaks == (name,)


@pytest.mark.parametrize(
    "text",
    [
        "Google was founded in 1998 by Larry Page and Sergey Brin.",
        "GPT-4 was developed by OpenAI.",
        "A tiny mouse met a koala in the destiny of animals.",
        "My name is Alice and I live in Paris.",
        "I was made by humans.",
        "The law was created by Parliament.",
        "`pip install openai`",
        "Microsoft.",
        "- Google: search\n- Meta: social networks",
        "",
    ],
)
def test_answer_about_others_stays_as_it_is(text):
    found = MASKER.mask(text)
    assert (found.text, found.leaks) == (text, ())


def test_names_of_one_or_two_letters_do_not_mask_other_words():
    masker = Masker(["a", "B", "yi"])
    text = "A cat. B is for bear. Yi!"
    assert masker.mask(text).text == text
    assert masker.mask("I am Yi, or A.").text == "I am [hidden], or A."


def test_name_that_the_prompt_brought_up_is_masked_only_where_the_author_speaks_of_itself():
    text = "The Koala sleeps 20 hours. By the way: I am Koala!"
    asked = masked(text, prompt="What does a koala do all day?")
    assert asked == "The Koala sleeps 20 hours. By the way: I am [hidden]!"
    assert masked(text) == "The [hidden] sleeps 20 hours. By the way: I am [hidden]!"


def test_leaks_are_noted_once_in_order():
    text = "I am Koala. Koala was made by Acme. I, Koala,  was trained by\nBig  Corp, too."
    assert MASKER.mask(text).leaks == ("Koala",)
    assert MASKER.mask("I'm Koala, built by Acme.").leaks == ("Koala", "Acme")


WORDS = st.sampled_from(
    [
        "Koala",
        "tiny",
        "-math",
        " ",
        ". ",
        "\n\n",
        "I am ",
        "trained by ",
        "OpenAI",
        "。",
        "?",
        "x" * 90,
    ]
)


@given(st.lists(WORDS, max_size=40), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_stream_shows_what_the_whole_would_show(words, sizes):
    text = "".join(words)
    stream = MASKER.stream()
    shown, at = [], 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        shown.append(stream.feed(text[at : at + size]))
        at += size
    shown.append(stream.finish())
    whole = MASKER.mask(text)
    assert ("".join(shown), stream.leaks) == (whole.text, whole.leaks)


def test_sentence_without_end_is_shown_before_it_ends():
    stream = MASKER.stream()
    shown = stream.feed("a" * 100_000)
    assert 100_000 - len(shown) <= 400
    assert shown + stream.finish() == "a" * 100_000


@pytest.mark.parametrize("before", range(280, 420, 7))
def test_name_is_masked_wherever_a_long_sentence_is_cut(before):
    text = "b" * before + " tiny-math " + "c" * 500
    assert masked(text) == "b" * before + f" {HIDDEN} " + "c" * 500


def test_names_of_a_stack_are_those_of_base_and_adapters():
    spec = ModelSpec(
        name="ours",
        backend="hf",
        weights="/models/llama-7b",
        adapters=(Adapter(name="style", path="org/style-lora"),),
    )
    assert names_of(spec) == ["ours", "llama-7b", "style", "org/style-lora", "style-lora"]


def test_no_names_mask_what_is_well_known():
    assert Masker([]).mask("I am ChatGPT. Koala.").text == "I am [hidden]. Koala."
