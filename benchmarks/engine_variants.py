"""Five variants of one base in one go, against five runs of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from engine_measure import Contest, timed
from engine_place import Place
from engine_scoring import count_flops
from engine_workloads import SCORING

from evalcore.protocols import Loglikelihood, LoglikelihoodRequest, Runner
from evalcore.records import ModelSpec
from runners import open_runners, parse_model

__all__ = ["make_adapters", "variant_contests"]

_NAME = "base and 4 adapters in one go"
_ATTENTION = ("q_proj", "v_proj")
_ALL = (*_ATTENTION, "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_TARGETS = (_ATTENTION, _ALL, _ATTENTION, _ALL)
_N_REQUESTS = 80
_MOST_COMPUTE = 1.05
"""Of five variants in one go, as a share of five runs of their own."""


def variant_contests(_runner: Runner, place: Place) -> dict[str, Callable[[], Contest]]:
    """Return what makes the contest of a base and four adapters, read anew by both sides."""
    return {_NAME: partial(_contest, place)}


def _contest(place: Place) -> Contest:
    adapters = make_adapters(place.folder)
    base = f"hf:{place.folder}?device={place.setup.device}"
    specs = [parse_model(text) for text in (base, *(f"{base}+lora:{path}" for path in adapters))]
    requests = [
        request
        for request in SCORING[0].make()[:_N_REQUESTS]
        if isinstance(request, LoglikelihoodRequest)
    ]
    return Contest(
        name=_NAME,
        ours=lambda: timed(lambda: _run(specs, requests), place.setup),
        theirs={"5 runs": lambda: timed(lambda: _run_alone(specs, requests), place.setup)},
        trials={},
        differences=_differences,
        flops=len(specs) * count_flops(requests, place.folder),
        least_ratio=1 / _MOST_COMPUTE,
        least_fraction=None,
    )


def _run(
    specs: Sequence[ModelSpec], requests: Sequence[LoglikelihoodRequest]
) -> list[list[Loglikelihood]]:
    with closing(open_runners(specs)) as runners:
        return [_scores(runner, requests) for runner in runners]


def _run_alone(
    specs: Sequence[ModelSpec], requests: Sequence[LoglikelihoodRequest]
) -> list[list[Loglikelihood]]:
    return [scores for spec in specs for scores in _run([spec], requests)]


def _scores(runner: Runner, requests: Sequence[LoglikelihoodRequest]) -> list[Loglikelihood]:
    pairs = [pair for finished in runner.loglikelihood(requests) for pair in finished.results]
    return [result for _, result in sorted(pairs, key=lambda pair: pair[0])]


def _differences(
    ours: Sequence[Sequence[Loglikelihood]], theirs: Sequence[Sequence[Loglikelihood]]
) -> str:
    for variant, (mine, alone) in enumerate(zip(ours, theirs, strict=True)):
        pairs = zip(mine, alone, strict=True)
        off = max(abs(a.logprob - b.logprob) for a, b in pairs)
        if off > 1e-4:
            return f"variant {variant} is off by {off:.2g}"
    return ""


def make_adapters(folder: Path) -> list[Path]:
    """Write four random adapters, two on query and value layers and two on all."""
    return [_make_adapter(folder, place) for place in range(len(_TARGETS))]


def _make_adapter(folder: Path, place: int) -> Path:
    """Write a random adapter of rank 16 that changes the model clearly."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(
        r=16, lora_alpha=32, target_modules=list(_TARGETS[place]), task_type="CAUSAL_LM"
    )
    torch.manual_seed(place)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    target = folder / f"adapter-{place}"
    adapted.save_pretrained(target)
    return target
