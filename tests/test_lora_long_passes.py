import pytest
import torch

from evalcore.protocols import GenerateRequest, LoglikelihoodRequest
from evalcore.records import SamplingParams
from runners import open_runners, parse_model
from runners.hf import long_passes
from runners.hf.long_passes import in_one_product, is_long, merge_long_passes

REQUESTS = [
    LoglikelihoodRequest(context=f"What is {n} + 30? The quick brown fox", continuation=" jumps.")
    for n in range(12)
]
PROMPTS = [
    GenerateRequest(prompt=f"Once {words}", params=SamplingParams(max_new_tokens=12))
    for words in ("upon a time there was a king who", "more", "the quick brown fox")
]


def make_layer(n_in=24, n_out=40, dtype=torch.float32):
    """Make one of peft's layers with two random adapters, both active."""
    from peft.tuners.lora import Linear, LoraConfig

    torch.manual_seed(0)
    base = torch.nn.Linear(n_in, n_out, dtype=dtype)
    config = LoraConfig(r=4, lora_dropout=0.0, init_lora_weights=False)
    layer = Linear(base, "a", config=config, r=4, lora_alpha=6)
    layer.update_layer("b", 3, 5, config=config)
    layer.set_adapter(["a", "b"], inference_mode=True)
    return layer.eval().to(dtype)


@pytest.fixture
def n_merged(monkeypatch):
    """Count the passes that are computed by one product."""
    rows = []

    def counted(layer, x, names):
        rows.append(x.numel() // x.shape[-1])
        return in_one_product(layer, x, names)

    monkeypatch.setattr(long_passes, "in_one_product", counted)
    return rows


@pytest.mark.parametrize(
    ("n_in", "n_out", "least"), [(512, 512, 256), (512, 1408, 376), (1408, 512, 376), (1, 1, 1)]
)
def test_choice_follows_the_rows(n_in, n_out, least):
    assert is_long(least, n_in=n_in, n_out=n_out)
    assert not is_long(least - 1, n_in=n_in, n_out=n_out)


def test_layer_gives_the_same_either_way(n_merged):
    layer = make_layer()
    weight = layer.get_base_layer().weight.clone()
    x = torch.randn(3, 11, layer.in_features)
    beside = layer(x)
    merge_long_passes(layer)
    merge_long_passes(layer)  # as for a second adapter
    torch.testing.assert_close(layer(x), beside, rtol=1e-5, atol=1e-5)
    assert n_merged == [33]
    assert torch.equal(layer.get_base_layer().weight, weight)


def test_short_passes_and_inactive_adapters_are_left_alone(n_merged):
    layer = make_layer()
    x = torch.randn(14, layer.in_features)  # 24·40 / (24 + 40) is 15
    beside = layer(x)
    merge_long_passes(layer)
    assert torch.equal(layer(x), beside)
    layer.enable_adapters(False)
    x = torch.randn(40, layer.in_features)
    assert torch.equal(layer(x), layer.get_base_layer()(x))
    assert n_merged == []


def test_half_precision_is_left_alone(n_merged):
    layer = make_layer(dtype=torch.bfloat16)
    x = torch.randn(40, layer.in_features, dtype=torch.bfloat16)
    beside = layer(x)
    merge_long_passes(layer)
    assert torch.equal(layer(x), beside)
    assert n_merged == []


def test_variants_answer_the_same_either_way(llama, collect, n_merged, monkeypatch):
    base = f"hf:{llama.folder}?dtype=fp32&device=cpu"
    first, second = (f"+lora:{llama.adapters[name]}" for name in ("first", "second"))
    specs = [parse_model(base + stack) for stack in ("", first, f"{first}*0.5{second}", "")]

    def answers():
        scores, texts = [], []
        for runner in open_runners(specs):
            scores.append([result.logprob for result in collect(runner.loglikelihood(REQUESTS))])
            texts.append([result.text for result in collect(runner.generate(PROMPTS))])
        return scores, texts

    scores, texts = answers()
    assert len(n_merged) > 10
    assert scores[0] == scores[3] != scores[1]
    monkeypatch.setattr(long_passes, "is_long", lambda *_rows, **_sizes: False)
    unmerged, same_texts = answers()
    for mine, other in zip(scores, unmerged, strict=True):
        assert mine == pytest.approx(other, rel=1e-5)
    assert texts == same_texts
