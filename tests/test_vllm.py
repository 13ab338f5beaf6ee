"""The vLLM runner, without vLLM: pure functions, and its flow over what behaves like it."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, RollingRequest
from evalcore.records import Message, SamplingParams
from runners import open_runners, parse_model, resolve
from runners.backends import backend
from runners.hf.generation import Ending
from runners.loading import open_together
from runners.vllm_engine import library as vllm_library
from runners.vllm_engine.adapters import is_as_it_is, stack_rank, write_stack
from runners.vllm_engine.arguments import (
    SCORING,
    engine_arguments,
    read_logprobs,
    sampling_arguments,
)
from runners.vllm_engine.backend import BACKEND
from runners.vllm_engine.library import VllmLibrary, require_gpus, why_not
from runners.vllm_engine.resident import VllmResident
from runners.vllm_engine.settings import LORA_RANKS, rank_class, vllm_settings

ENDING = Ending(tokens=frozenset({1, 7}), strings=("USER:",))


@dataclass(kw_only=True)
class Sampling:
    """What is used of vLLM's SamplingParams; an unknown name is a TypeError, as there."""

    max_tokens: int
    temperature: float
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    prompt_logprobs: int | None = None


@dataclass(kw_only=True)
class Adapter:
    lora_name: str
    lora_int_id: int
    lora_path: str


class Engine:
    """Answers as vLLM does, by plain transformers and peft, one prompt at a time."""

    made: list[dict[str, Any]] = []

    def __init__(self, **arguments: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        type(self).made.append(arguments)
        self.arguments = arguments
        self.tokenizer = AutoTokenizer.from_pretrained(arguments["tokenizer"])
        dtype = getattr(torch, arguments["dtype"])
        self.plain = AutoModelForCausalLM.from_pretrained(arguments["model"], dtype=dtype)
        self.adapted: dict[int, Any] = {}

    def generate(self, prompts, sampling_params, *, lora_request, use_tqdm):
        assert use_tqdm is False
        model = self.plain if lora_request is None else self._adapted(lora_request)
        pairs = zip(prompts, sampling_params, strict=True)
        with torch.inference_mode():
            return [self._answer(model, p["prompt_token_ids"], s) for p, s in pairs]

    def _adapted(self, request: Adapter):
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        assert self.arguments["enable_lora"]
        if request.lora_int_id not in self.adapted:
            base = AutoModelForCausalLM.from_pretrained(self.arguments["model"])
            model = PeftModel.from_pretrained(base, request.lora_path)
            assert model.peft_config["default"].r <= self.arguments["max_lora_rank"]
            self.adapted[request.lora_int_id] = model.eval()
        return self.adapted[request.lora_int_id]

    def _answer(self, model, ids: list[int], params: Sampling):
        assert len(ids) + params.max_tokens <= self.arguments["max_model_len"]
        logprobs = None
        if params.prompt_logprobs is not None:
            found = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            logprobs = [None]
            for place, token in enumerate(ids[1:]):
                rank = int((found[place] > found[place, token]).sum()) + 1
                entry = SimpleNamespace(logprob=float(found[place, token]), rank=rank)
                logprobs.append({token: entry})
        tokens: list[int] = []
        reason = "length"
        while len(tokens) < params.max_tokens:
            tokens.append(int(model(torch.tensor([ids + tokens])).logits[0, -1].argmax()))
            text = self.tokenizer.decode(tokens)
            ended = tokens[-1] in (params.stop_token_ids or ())
            if ended or any(stop in text for stop in params.stop or ()):
                reason = "stop"
                break
        answer = SimpleNamespace(token_ids=tokens, finish_reason=reason, text="not used")
        return SimpleNamespace(outputs=[answer], prompt_logprobs=logprobs)


FAKE = VllmLibrary(
    engine=Engine,
    sampling=Sampling,
    tokens=lambda *, prompt_token_ids: {"prompt_token_ids": prompt_token_ids},
    adapter=Adapter,
)


@pytest.fixture
def vllm(monkeypatch):
    """Put the fake in vLLM's place, GPUs included."""
    Engine.made = []
    monkeypatch.setattr("runners.vllm_engine.backend.require_gpus", lambda n: None)
    monkeypatch.setattr("runners.vllm_engine.resident.load_library", lambda: FAKE)
    return Engine


def scored(runner, collect):
    asked = [
        LoglikelihoodRequest(context=context, continuation=continuation)
        for context in ("What is 12 + 30? ", "", "The quick brown fox " * 12)
        for continuation in ("42", " jumps over", "", "Ünïcödé 日本")
    ]
    chat = (Message(role="user", content="Why?"),)
    if runner.spec.chat_template:
        asked.append(LoglikelihoodRequest(context=chat, continuation=" Because"))
    return collect(runner.loglikelihood(asked))


STACK = "+lora:{first}+lora:{second}*-0.5"


@pytest.mark.parametrize("stack", ["", "+lora:{first}", "+lora:{second}*0.3", STACK])
def test_loglikelihoods_equal_those_of_transformers(vllm, llama, run_model, collect, stack):
    text = f"{llama.folder}?template=vicuna{stack.format(**llama.adapters)}"
    expected = scored(run_model(f"hf:{text}"), collect)
    runners = open_runners([parse_model(f"vllm:{text}")])
    found = scored(next(runners), collect)
    runners.close()
    for one, other in zip(found, expected, strict=True):
        if not other.n_truncated:
            assert one.logprob == pytest.approx(other.logprob, abs=2e-4)
            assert (one.n_tokens, one.is_greedy) == (other.n_tokens, other.is_greedy)


def test_long_text_is_scored_in_windows_two_tokens_shorter(vllm, llama, collect):
    runners = open_runners([parse_model(f"vllm:{llama.folder}")])
    runner = next(runners)
    (found,) = collect(runner.loglikelihood_rolling([RollingRequest(text="a b c " * 60)]))
    (cut,) = collect(
        runner.loglikelihood([LoglikelihoodRequest(context="a b " * 80, continuation="c")])
    )
    runners.close()
    assert found.n_tokens > 96
    assert cut.n_truncated > 0
    assert vllm.made[0]["max_model_len"] == 96


@pytest.mark.parametrize("stack", ["", STACK])
def test_answers_equal_those_of_transformers(vllm, llama, run_model, collect, stack):
    text = f"{llama.folder}{stack.format(**llama.adapters)}"
    plain = collect(
        run_model(f"hf:{text}").generate(
            [GenerateRequest(prompt="Hello", params=SamplingParams(max_new_tokens=12))]
        )
    )[0]
    stop = plain.text[4:6]
    asked = [
        GenerateRequest(
            prompt=prompt, params=SamplingParams(max_new_tokens=n, stop=(stop,) if stops else ())
        )
        for prompt in ("Hello", "The quick " * 40)
        for n in (1, 12)
        for stops in (False, True)
    ]
    expected = collect(run_model(f"hf:{text}").generate(asked))
    runners = open_runners([parse_model(f"vllm:{text}")])
    found = collect(next(runners).generate(asked))
    runners.close()
    for one, other in zip(found, expected, strict=True):
        if not other.n_truncated:
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert one.completion_tokens == other.completion_tokens
    assert found[4].n_truncated == expected[4].n_truncated + 2


def test_variants_that_fit_one_rank_share_a_base_and_their_adapters(vllm, llama):
    base = f"vllm:{llama.folder}?max_lora_rank=16"
    stacks = ["", "+lora:{first}", STACK]
    specs = [parse_model(base + stack.format(**llama.adapters)) for stack in stacks]
    with open_together(specs) as groups:
        assert [len(group) for group in groups] == [3]
    assert [(made["enable_lora"], made["max_lora_rank"]) for made in vllm.made] == [(True, 16)]


def test_files_are_those_that_transformers_would_read(llama):
    text = f"{llama.folder}{STACK.format(**llama.adapters)}"
    own, same = (resolve(parse_model(f"{name}:{text}")) for name in ("vllm", "hf"))
    assert BACKEND.files(own) == backend("hf").files(same)
    assert "adapter_model.safetensors" in {path.name for path in BACKEND.files(own)}


def test_base_alone_makes_no_room_for_adapters(vllm, llama):
    specs = [
        parse_model(f"vllm:{llama.folder}{stack.format(**llama.adapters)}")
        for stack in ("", "+lora:{second}", STACK)
    ]
    with open_together(specs) as groups:
        assert [len(group) for group in groups] == [1, 2]
    assert "enable_lora" not in vllm.made[0]
    assert vllm.made[1]["max_lora_rank"] == 8


def test_closed_base_says_so_and_removes_its_stacks(llama, vllm):
    text = f"vllm:{llama.folder}?max_lora_rank=8{STACK.format(**llama.adapters)}"
    spec = resolve(parse_model(text))
    resident = VllmResident(BACKEND.shared(spec), FAKE)
    runner = resident.runner(spec)
    folder = resident._loaded.folder.name
    resident.close()
    resident.close()
    with pytest.raises(ModelError, match="is closed"):
        list(runner.loglikelihood([LoglikelihoodRequest(context="a", continuation="b")]))
    assert not Path(folder).exists()


def test_stack_is_written_as_its_exact_sum(llama, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    spec = resolve(parse_model(f"hf:{llama.folder}" + STACK.format(**llama.adapters)))
    written = write_stack(spec, tmp_path / "stack")
    base = AutoModelForCausalLM.from_pretrained(llama.folder)
    expected = {name: weight.clone() for name, weight in base.state_dict().items()}
    for adapter in spec.adapters:
        fresh = AutoModelForCausalLM.from_pretrained(llama.folder)
        merged = PeftModel.from_pretrained(fresh, adapter.path).merge_and_unload().state_dict()
        for name, weight in merged.items():
            expected[name] += adapter.weight * (weight - base.state_dict()[name])
    found = PeftModel.from_pretrained(base, written).merge_and_unload().state_dict()
    assert stack_rank(spec) == 6
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=0)


def test_only_a_plain_adapter_is_served_from_its_own_folder(llama):
    first, second = llama.adapters["first"], llama.adapters["second"]
    texts = {f"+lora:{first}": True, f"+lora:{first}*2": False, f"+lora:{second}": False}
    texts[f"+lora:{first}+lora:{second}"] = False
    for text, plain in texts.items():
        assert is_as_it_is(resolve(parse_model(f"hf:{llama.folder}{text}"))) is plain


def test_other_combinations_are_written_too(llama, tmp_path):
    text = f"vllm:{llama.folder}?combine=svd&rank=4{STACK.format(**llama.adapters)}"
    spec = resolve(parse_model(text))
    assert stack_rank(spec) == 4
    assert (write_stack(spec, tmp_path / "s") / "adapter_config.json").is_file()


def test_engine_is_told_what_the_string_says(llama):
    text = f"vllm:{llama.folder}?dtype=bf16&quant=fp8&tensor_parallel=2&max_len=64&gpu_memory=0.5"
    spec = parse_model(text)
    settings = vllm_settings(spec)
    made = engine_arguments(spec, settings, folder="F", max_len=64, lora_rank=0)
    assert made == {
        "model": "F",
        "tokenizer": "F",
        "dtype": "bfloat16",
        "max_model_len": 64,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.5,
        "trust_remote_code": False,
        "seed": 0,
        "quantization": "fp8",
    }
    assert spec.options == (("max_len", "64"),)
    nf4 = engine_arguments(
        replace(spec, quantization="nf4"), settings, folder="F", max_len=64, lora_rank=8
    )
    assert nf4["quantization"] == "bitsandbytes"
    assert (nf4["enable_lora"], nf4["max_lora_rank"], nf4["max_loras"]) == (True, 8, 1)


def test_greedy_answers_are_asked_without_sampling():
    greedy = sampling_arguments(SamplingParams(max_new_tokens=3), seed=5, ending=ENDING)
    assert greedy == {
        "max_tokens": 3,
        "temperature": 0.0,
        "stop": ["USER:"],
        "stop_token_ids": [1, 7],
    }
    params = SamplingParams(max_new_tokens=3, temperature=0.7, top_p=0.9)
    sampled = sampling_arguments(params, seed=5, ending=ENDING)
    assert (sampled["seed"], sampled["top_k"], sampled["top_p"]) == (5, -1, 0.9)
    assert all(Sampling(**arguments) for arguments in (greedy, sampled, SCORING))


def test_prompt_logprobs_are_summed_over_the_last_tokens():
    def entry(token, logprob, rank):
        return {token: SimpleNamespace(logprob=logprob, rank=rank)}

    told = [None, entry(5, -9.0, 3), entry(6, -1.0, 1), entry(7, -0.5, 2)]
    found = read_logprobs(told, [6, 7], n_truncated=2)
    assert (found.logprob, found.is_greedy) == (-1.5, False)
    assert (found.n_tokens, found.n_truncated) == (2, 2)
    assert read_logprobs(told[:3], [6], n_truncated=0).is_greedy


@pytest.mark.parametrize(("rank", "room"), [(0, 0), (1, 1), (2, 8), (16, 16), (33, 64), (512, 512)])
def test_room_is_made_in_vllm_s_sizes(rank, room):
    assert rank_class(rank) == room
    assert room in (0, *LORA_RANKS)


def test_stack_of_too_high_a_rank_is_refused():
    with pytest.raises(ModelError, match=r"ranks up to 512; this stack's is 513"):
        rank_class(513)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("tensor_parallel=0", "tensor_parallel must be a whole number from 1; got '0'"),
        ("tensor_parallel=1.5", "tensor_parallel must be a whole number from 1"),
        ("gpu_memory=2", "gpu_memory must be a share above 0 and at most 1; got '2'"),
        ("max_len=x", "max_len must be a whole number from 8; got 'x'"),
        ("max_lora_rank=24", "max_lora_rank must be one of 1, 8, 16, .*; got '24'"),
        ("n_ctx=5", "settings are dtype, quant, template, gpu_memory, .*; got 'n_ctx'"),
        ("quant=int8", "quant must be one of fp8, nf4; got 'int8'"),
    ],
)
def test_bad_setting_is_one_line(query, message):
    with pytest.raises(ModelError, match=message) as caught:
        parse_model(f"vllm:x?{query}")
    assert "\n" not in str(caught.value)


def test_without_vllm_or_gpu_it_says_how_to_get_it(llama, monkeypatch):
    monkeypatch.setattr(vllm_library.importlib.util, "find_spec", lambda name: None)
    assert why_not() == "vllm is not installed: pip install 'parity-eval[vllm]'"
    with pytest.raises(ModelError, match=r"can't be run here: vllm is not installed"):
        next(open_runners([parse_model(f"vllm:{llama.folder}")]))
    monkeypatch.setattr(vllm_library.importlib.util, "find_spec", lambda name: object())
    if not torch.cuda.is_available():
        assert why_not() == "vLLM needs a GPU, and there is no CUDA here"
        with pytest.raises(ModelError, match="vLLM needs a GPU"):
            require_gpus(1)


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(vllm_library, "why_not", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ModelError, match=r"tensor_parallel must be at most 1, .*; got 2"):
        require_gpus(2)


def test_model_that_vllm_can_t_load_is_one_line(llama):
    def engine(**arguments):
        raise ValueError("no kernel\nfor this")

    spec = resolve(parse_model(f"vllm:{llama.folder}"))
    with pytest.raises(ModelError, match=r"vLLM can't load the model: no kernel for this \("):
        VllmResident(spec, replace(FAKE, engine=engine))


@pytest.mark.gpu
@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None or not torch.cuda.is_available(),
    reason="needs vLLM and CUDA",
)
def test_real_vllm_scores_as_transformers_does(llama, run_model, collect):
    text = f"{llama.folder}{STACK.format(**llama.adapters)}"
    runners = open_runners([parse_model(f"vllm:{text}")])
    found = scored(next(runners), collect)
    runners.close()
    for one, other in zip(found, scored(run_model(f"hf:{text}"), collect), strict=True):
        if not other.n_truncated:
            assert one.logprob == pytest.approx(other.logprob, abs=0.05)
            assert one.n_tokens == other.n_tokens
