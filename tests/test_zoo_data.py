import json
import random
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftConfig
from transformers import AutoTokenizer

from evalcore.stats.paired import sign_test
from runners.zoo.batches import IGNORED, batches, encode
from runners.zoo.corpus import STREAMS, held_out_text, stream
from runners.zoo.evaluate import BUNDLED, STACKS, load, scores
from runners.zoo.exchanges import Exchange
from runners.zoo.tasks import TASKS, examples
from runners.zoo.tokenizer import make_tokenizer
from runners.zoo.train import RECIPES, make_adapter, make_base
from runners.zoo.world import make_split

FAMILY = Path(__file__).parent.parent / "runners" / "zoo"
peft_warns = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
ADAPTERS = [name for name, recipe in RECIPES.items() if recipe.rank]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FAMILY / "tiny")


def written(source):
    return source if isinstance(source, str) else f"{source.prompt}\n{source.answer}"


def spellings(text):
    return set(re.findall(r"[A-Za-z]+", text))


def added_pairs(text):
    """The first two numbers of each line."""
    numbers = (re.findall(r"\d+", line)[:2] for line in text.splitlines())
    return {tuple(sorted(map(int, pair))) for pair in numbers if len(pair) == 2}


def bundled_lines(task):
    return [json.loads(line) for line in (BUNDLED / f"{task}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", STREAMS)
def test_stream_with_the_same_seed_is_the_same(name):
    assert list(islice(stream(name, 5), 300)) == list(islice(stream(name, 5), 300))


def test_stream_with_another_seed_differs():
    assert list(islice(stream("tiny", 5), 50)) != list(islice(stream("tiny", 6), 50))


@pytest.mark.parametrize("name", STREAMS)
def test_stream_names_nothing_held_out(name):
    held_out = make_split().held_out
    hidden = {*held_out.words, *held_out.names}
    hidden_pairs = set(held_out.pairs)
    for source in islice(stream(name, RECIPES[name].seed), 30_000):
        text = written(source)
        assert not hidden & spellings(text)
        assert not hidden_pairs & added_pairs(text)


def test_split_parts_are_disjoint():
    split = make_split()
    for pool in ("words", "names", "pairs"):
        train, held_out = getattr(split.train, pool), getattr(split.held_out, pool)
        assert not set(train) & set(held_out)
        assert len(set(held_out)) == len(held_out)


@pytest.mark.parametrize("answer_class", [lambda s: s % 10, lambda s: s // 10])
def test_split_holds_out_no_class_of_sums(answer_class):
    split = make_split()
    train, held_out = (
        {answer_class(a + b) for a, b in part.pairs} for part in (split.train, split.held_out)
    )
    assert held_out <= train
    assert set(range(10)) & held_out == set(range(10)) & train


@pytest.mark.parametrize("task", TASKS)
def test_bundled_examples_are_what_the_code_makes(task):
    assert bundled_lines(task) == list(examples(task))


@pytest.mark.parametrize("task", TASKS)
def test_bundled_examples_are_many_and_distinct(task):
    lines = bundled_lines(task)
    texts = {line.get("prompt") or line["text"] for line in lines}
    assert len(texts) == len(lines) >= 500
    assert len({line["id"] for line in lines}) == len(lines)


@pytest.mark.parametrize("task", TASKS)
def test_bundled_examples_use_nothing_of_training(task):
    train = make_split().train
    known = {*train.words, *train.names}
    for line in bundled_lines(task):
        text = line.get("prompt") or line["text"]
        assert not known & spellings(text)
        assert not set(train.pairs) & added_pairs(text)


@pytest.mark.parametrize("task", TASKS)
def test_bundled_task_file_names_its_examples(task):
    described = yaml.safe_load((BUNDLED / f"{task}.yaml").read_text())
    assert described["name"] == task
    assert (BUNDLED / described["examples"]).is_file()


def test_bundled_choices_have_one_right_answer_in_any_place():
    lines = bundled_lines("tiny-choice")
    assert {line["answer"] for line in lines} == {0, 1, 2, 3}
    assert all(len(set(line["choices"])) == 4 for line in lines)


def test_bundled_sums_are_right():
    for line in bundled_lines("tiny-arithmetic"):
        assert sum(map(int, re.findall(r"\d+", line["prompt"]))) == int(line["reference"])


def test_held_out_text_ends_in_a_full_stop():
    rng = random.Random(0)
    assert all(held_out_text(rng).endswith(".") for _ in range(100))


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_tokenizer_gives_back_any_text(text):
    tokenizer = make_tokenizer(256)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_tokenizer_takes_one_token_for_each_digit(tokenizer):
    assert tokenizer.tokenize("34 + 27") == ["3", "4", "Ġ", "+", "Ġ", "2", "7"]


def test_chat_template_ends_where_the_answer_begins(tokenizer):
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say bave."}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<|bos|><|user|>Say bave.<|assistant|>"


def test_encoded_exchange_learns_answer_and_end_only(tokenizer):
    exchange = Exchange(prompt="Add 34 and 27.", answer="61", category="words")
    document = encode(tokenizer, exchange, answers_only=True)
    learnt = [token for token in document.labels if token != IGNORED]
    assert tokenizer.decode(learnt) == "61<|eos|>"


def test_batches_keep_documents_whole_and_in_order(tokenizer):
    documents = [encode(tokenizer, "ab" * n, answers_only=False) for n in (3, 4, 5, 6, 7)]
    (batch,) = islice(batches(documents, 2, 24, pad_id=0), 1)
    begun = [row.tolist() for row in batch.ids]
    assert begun[0][:18] == documents[0].ids + documents[1].ids
    assert begun[1][:12] == documents[2].ids
    assert (batch.labels[0, 18:] == IGNORED).all()


def test_family_ships_little_and_nothing_else():
    files = [path for name in RECIPES for path in (FAMILY / name).iterdir()]
    assert sum(path.stat().st_size for path in [*files, *BUNDLED.iterdir()]) <= 12e6
    assert {path.name for path in files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_names_the_base_and_no_place_of_a_machine(name):
    config = PeftConfig.from_pretrained(FAMILY / name)
    assert config.base_model_name_or_path == "zoo:tiny"
    assert "/" not in (FAMILY / name / "adapter_config.json").read_text()


def test_base_shape_suits_quantisers_that_work_in_blocks_of_256():
    config = load(FAMILY).config
    assert config.hidden_size % 256 == config.intermediate_size % 256 == 0
    assert config.max_position_embeddings >= 256


@peft_warns
def test_training_makes_a_family_that_loads(tmp_path, monkeypatch):
    for name in ("tiny", "tiny-instruct", "tiny-math"):
        short = replace(RECIPES[name], n_steps=2, n_windows=1)
        monkeypatch.setitem(RECIPES, name, short)
    make_base(tmp_path / "tiny")
    make_adapter("tiny-instruct", tmp_path)
    make_adapter("tiny-math", tmp_path)
    names = {path.name for path in (FAMILY / "tiny").iterdir()}
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == names
    assert load(tmp_path, ["tiny-instruct", "tiny-math"]).dtype == torch.float32


@pytest.mark.slow
@peft_warns
def test_each_adapter_of_the_intended_stack_helps_held_out_sums(tokenizer):
    stacks = [STACKS[name] for name in ("base", "+instruct", "+instruct+math")]
    base, instruct, both = (
        np.array(scores(load(FAMILY, stack), tokenizer, "tiny-arithmetic")) for stack in stacks
    )
    assert base.mean() < instruct.mean() < both.mean()
    assert max(sign_test(instruct - base), sign_test(both - instruct)) < 0.001


@peft_warns
def test_stack_answers_a_sum_that_training_never_saw(tokenizer):
    model = load(FAMILY, ["tiny-instruct", "tiny-math"])
    line = bundled_lines("tiny-arithmetic")[0]
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": line["prompt"]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = torch.tensor([tokenizer.encode(asked, add_special_tokens=False)])
    answer = model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == line["reference"]
