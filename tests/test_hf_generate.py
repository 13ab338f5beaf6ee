import json
import shutil
import warnings
from collections import Counter

import pytest

from evalcore.errors import InputError
from evalcore.protocols import GenerateRequest
from evalcore.records import SamplingParams

PROMPTS = ["The quick", "What is 12 + 30?", "", "USER: Hello there! ASSISTANT:", "日本", "x"]


def ask(prompt, **params):
    return GenerateRequest(prompt=prompt, params=SamplingParams(**{"max_new_tokens": 12} | params))


@pytest.fixture(params=["auto", "plain"])
def engine(request) -> str:
    """In slots and in static batches."""
    return request.param


def texts(results):
    return [result.text for result in results]


def plain_greedy(model, tokenizer, prompt, n_new):
    """Continue one prompt by transformers' own greedy decoding."""
    import torch

    ids = tokenizer(prompt)["input_ids"] or [tokenizer.eos_token_id]
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=n_new,
        do_sample=False,
        pad_token_id=0,
    )
    return tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)


@pytest.mark.parametrize("adapted", [False, True])
def test_answers_equal_transformers_own_greedy_one_by_one(
    tiny_model, run_model, engine, collect, plain, adapted
):
    string = f"hf:{tiny_model.folder}"
    model, tokenizer = plain.load(tiny_model.folder)
    if adapted:
        from peft import PeftModel

        string += f"+lora:{tiny_model.adapters['first']}"
        model = load_adapted(PeftModel, model, tiny_model.adapters["first"])
    results = collect(
        run_model(string, engine=engine).generate([ask(prompt) for prompt in PROMPTS])
    )
    assert texts(results) == [plain_greedy(model, tokenizer, prompt, 12) for prompt in PROMPTS]


def load_adapted(peft_model, model, adapter):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return peft_model.from_pretrained(model, adapter)


@pytest.mark.parametrize("params", [{}, {"temperature": 1.0, "seed": 3}])
def test_answers_do_not_depend_on_the_batch(tiny_model, run_model, engine, collect, params):
    requests = [ask(prompt, **params) for prompt in PROMPTS]
    together = collect(run_model(f"hf:{tiny_model.folder}", engine=engine).generate(requests))
    alone = collect(
        run_model(f"hf:{tiny_model.folder}", engine=engine, batch_size=1).generate(requests)
    )
    assert texts(together) == texts(alone)
    reversed_ = collect(
        run_model(f"hf:{tiny_model.folder}", engine=engine).generate(requests[::-1])
    )
    assert texts(reversed_[::-1]) == texts(together)


def test_sampled_answers_follow_the_seed(llama, run_model, engine, collect):
    runner = run_model(f"hf:{llama.folder}", engine=engine)
    requests = [ask("The", temperature=1.0, seed=seed) for seed in (1, 2, 1, 3)]
    first = texts(collect(runner.generate(requests)))
    assert first == texts(collect(runner.generate(requests)))
    assert first[0] == first[2]
    assert len(set(first)) == 3


def test_sampled_tokens_have_the_model_s_frequencies(llama, run_model, collect, plain):
    import torch

    model, tokenizer = plain.load(llama.folder)
    logits = model(torch.tensor([tokenizer("The")["input_ids"]])).logits[0, -1]
    top = (logits / 2).topk(3)
    wanted = Counter()
    for token, share in zip(top.indices.tolist(), top.values.softmax(-1).tolist(), strict=True):
        wanted[tokenizer.decode([token])] += share
    requests = [
        ask("The", max_new_tokens=1, temperature=2.0, top_k=3, seed=seed) for seed in range(2000)
    ]
    found = texts(collect(run_model(f"hf:{llama.folder}", batch_size=500).generate(requests)))
    shares = {text: n / len(found) for text, n in Counter(found).items()}
    # Four standard errors of a share over 2000 draws.
    assert shares == pytest.approx(dict(wanted), abs=4 * 0.5 / 2000**0.5)


def test_top_p_keeps_the_likeliest_tokens(llama, run_model, collect):
    runner = run_model(f"hf:{llama.folder}")
    greedy = texts(collect(runner.generate([ask(prompt) for prompt in PROMPTS])))
    nucleus = [ask(prompt, temperature=1.0, top_p=1e-6) for prompt in PROMPTS]
    assert texts(collect(runner.generate(nucleus))) == greedy


def test_answer_is_cut_at_the_first_stop_string(tiny_model, run_model, engine, collect):
    runner = run_model(f"hf:{tiny_model.folder}", engine=engine)
    (whole,) = collect(runner.generate([ask("The quick", max_new_tokens=30)]))
    assert len(whole.text) > 10
    late, early = whole.text[-3:], whole.text[4:7]
    cut = min(whole.text.find(late), whole.text.find(early))
    (stopped,) = collect(runner.generate([ask("The quick", max_new_tokens=30, stop=(late, early))]))
    assert stopped.text == whole.text[:cut]
    assert stopped.finish_reason == "stop"
    assert stopped.completion_tokens < whole.completion_tokens


def test_stop_string_ends_its_own_row_only(llama, run_model, engine, collect):
    runner = run_model(f"hf:{llama.folder}", engine=engine)
    whole = texts(collect(runner.generate([ask(prompt) for prompt in PROMPTS])))
    stop = whole[0][2:4]
    cut = texts(collect(runner.generate([ask(prompt, stop=(stop,)) for prompt in PROMPTS])))
    assert cut == [text.split(stop)[0] for text in whole]


def test_each_end_mark_of_the_checkpoint_ends_an_answer(llama, run_model, collect, plain, tmp_path):
    import torch

    model, tokenizer = plain.load(llama.folder)
    ids = torch.tensor([tokenizer("The quick")["input_ids"]])
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False)
    answer = out[0, ids.shape[1] :].tolist()
    at = next(i for i in range(2, 12) if answer[i] not in answer[:i])
    folder = change_decoding(llama.folder, tmp_path / "m", eos_token_id=[1, answer[at]])
    (ended,) = collect(run_model(f"hf:{folder}").generate([ask("The quick")]))
    assert ended.text == tokenizer.decode(answer[:at])
    assert (ended.finish_reason, ended.completion_tokens) == ("stop", at + 1)


def change_decoding(folder, to, **defaults):
    """Copy a model and change its generation_config.json."""
    path = shutil.copytree(folder, to) / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | defaults))
    return to


def test_answer_of_full_length_says_so(llama, run_model, collect):
    (result,) = collect(run_model(f"hf:{llama.folder}").generate([ask("The", max_new_tokens=1)]))
    assert (result.finish_reason, result.completion_tokens) == ("length", 1)
    assert result.duration_s > 0


def test_long_prompt_is_cut_on_the_left_and_counted(tiny_model, run_model, collect, plain):
    import torch

    model, tokenizer = plain.load(tiny_model.folder)
    long = "seven wizards watch it quietly " * 20
    ids = tokenizer(long)["input_ids"]
    kept = torch.tensor([ids[-16:]])
    out = model.generate(
        kept, attention_mask=torch.ones_like(kept), max_new_tokens=80, do_sample=False
    )
    runner = run_model(f"hf:{tiny_model.folder}")
    short, cut = collect(runner.generate([ask("x"), ask(long, max_new_tokens=80)]))
    assert (short.n_truncated, cut.n_truncated) == (0, len(ids) - 16)
    assert cut.prompt_tokens == 16
    assert cut.text == tokenizer.decode(out[0, 16:], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_new_tokens": 0}, r"max_new_tokens must be in \[1, 95\]"),
        ({"max_new_tokens": 96}, r"for this model's window of 96 tokens; got 96"),
        ({"temperature": -1.0}, "temperature must be at least 0; got -1.0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]; got 0.0"),
        ({"top_k": -1}, "top_k must be at least 0; got -1"),
        ({"stop": ("a", "")}, "a stop string must not be empty"),
    ],
)
def test_settings_outside_their_ranges_are_refused(llama, run_model, params, message):
    with pytest.raises(InputError, match=message):
        list(run_model(f"hf:{llama.folder}").generate([ask("x", **params)]))


def test_checkpoint_s_own_decoding_defaults_are_not_used(llama, run_model, collect, tmp_path):
    defaults = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "top_k": 2}
    folder = change_decoding(llama.folder, tmp_path / "m", **defaults)
    requests = [ask(prompt) for prompt in PROMPTS]
    usual = collect(run_model(f"hf:{llama.folder}").generate(requests))
    assert texts(collect(run_model(f"hf:{folder}").generate(requests))) == texts(usual)


def test_prefill_and_decode_are_measured_apart(llama, run_model):
    runner = run_model(f"hf:{llama.folder}")
    (finished,) = runner.generate([ask("The", stop=()), ask("The quick", stop=())])
    spent, results = finished.efficiency, [result for _, result in finished.results]
    assert spent.prefill_tokens == sum(result.prompt_tokens for result in results)
    assert spent.decode_tokens == sum(result.completion_tokens - 1 for result in results)
    assert spent.prefill_s > 0
    assert spent.decode_s > 0
    assert spent.peak_memory_bytes > 10_000_000


def test_no_requests_give_no_answers(llama, run_model, collect):
    assert collect(run_model(f"hf:{llama.folder}").generate([])) == []
