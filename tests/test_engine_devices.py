"""Where tensors are on a GPU, followed without one: on the device that keeps no numbers."""

import numpy as np
import pytest
import torch
import transformers

from runners.engine import scoring, support
from runners.engine.memory import Governor
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.scoring import TreeScorer
from runners.engine.slots import KeyValues
from runners.engine.slots_attention import slot_attention
from runners.hf.scoring import Span

SIZES = Sizes(chunk_tokens=24, block_tokens=4, segment_tokens=5)
WORK = [
    [Span(inputs=[*range(5, 25), d, c], targets=[c, 3])] for d in range(30, 34) for c in range(3)
]


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def elsewhere(request):
    """Give a model that is not in main memory; sums of tensors here and there raise."""
    config = transformers.MistralConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=6,
    )
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=request.param)
    return model.eval().to("meta")


def test_trees_stay_on_the_device(elsewhere, monkeypatch):
    seen = set()

    def read(logits, rows, targets):
        seen.add((logits.device.type, logits.dtype))
        return np.zeros(len(targets)), np.zeros(len(targets), bool)

    monkeypatch.setattr(scoring, "read_scores", read)
    scorer = TreeScorer(elsewhere, Governor.of(elsewhere, budget_bytes=2**40, max_rows=16), SIZES)
    for chunk in plan_chunks(WORK, SIZES):
        scorer.score(chunk)
    assert seen == {("meta", elsewhere.dtype)}
    assert {keys.device.type for keys, _ in scorer.states._layers.values()} == {"meta"}


def test_slots_stay_on_the_device(elsewhere):
    states = KeyValues(n_rows=2, capacity=7)
    with torch.inference_mode(), slot_attention(elsewhere):
        logits = support._through_slots(elsewhere, states, [*range(2, 10)], [*range(20, 27)])
    assert (logits.device.type, logits.shape) == ("meta", (2, 2, 96))
    assert {keys.device.type for pair in states._layers.values() for keys in pair} == {"meta"}
