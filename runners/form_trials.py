"""Which forms of a model this machine runs: a tiny random one is made, loaded and run in each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import numpy as np
import torch

from evalcore.protocols import GenerateRequest, InspectableRunner
from evalcore.records import ModelSpec, SamplingParams
from evalcore.stats.divergence import kl_divergences
from runners.catalogue import catalogue_spec
from runners.forms import FORMS, in_single_precision, quantised_form
from runners.loading import open_runners

__all__ = ["FormTrial", "fitting_default", "try_forms"]

_TEXT: Final = "What is 12 + 30? The answer is 42. Name three colours: red, green and blue."
_MOST_KL = 0.2
_PREFERRED: Final = {
    "cpu": ("gguf:Q4_K_M", "gguf:Q8_0", "torchao-int8", "bf16"),
    "cuda": ("nf4", "int8", "bf16"),
}
_REASONS: Final = {
    "gguf:Q4_K_M": "smallest and fastest on a CPU; gguf:Q8_0 loses less (parity convert MODEL "
    "gguf:FILE?type=Q4_K_M)",
    "gguf:Q8_0": "fast on a CPU and close to single precision (parity convert MODEL "
    "gguf:FILE?type=Q8_0)",
    "torchao-int8": "half of bf16's memory (?quant=torchao-int8)",
    "nf4": "least memory, computing in bf16; int8 loses less (?quant=nf4)",
    "int8": "half of bf16's memory (?quant=int8)",
    "bf16": "half of the memory of single precision (?dtype=bf16)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormTrial:
    """A form of a tiny model that was, or could not be, run."""

    form: str
    why_not: str | None
    """The reason why it can't be run, in one line; None if it can."""
    load_s: float | None = None
    """Until it was ready; None if it can't be run."""
    run_s: float | None = None
    """For one short text and its continuation."""
    kl: float | None = None
    """From the same model in single precision, nats per token; of random weights, which quantise
    about as well as others."""


def try_forms(device: str) -> tuple[FormTrial, ...]:
    """Run a tiny random model in every form.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda:N``. Files of llama.cpp are tried on the CPU alone.

    Returns
    -------
    tuple of FormTrial
        Single precision first; each form that is known is there, whether it works or not.
    """
    forms = [form for form in FORMS if device == "cpu" or not form.startswith("gguf:")]
    with TemporaryDirectory(prefix="parity-doctor-") as folder:
        model = _make_model(Path(folder) / "random")
        reference = in_single_precision(f"hf:{model}?device={device}")
        first, wanted = _tried("fp32", reference, None)
        trials = [first]
        for form in forms:
            try:
                spec = quantised_form(
                    reference, form, folder=Path(folder), note=lambda _doing: None
                )
            except Exception as problem:  # a library that is missing, or fails in its own way
                trials.append(FormTrial(form=form, why_not=_one_line(problem)))
                continue
            trials.append(_tried(form, spec, wanted)[0])
        return tuple(trials)


def fitting_default(device: str, trials: Sequence[FormTrial]) -> str:
    """Say which form to begin with on a device, among those that work there, and why."""
    works = {trial.form for trial in trials if trial.why_not is None}
    preferred = _PREFERRED["cuda" if device.startswith("cuda") else "cpu"]
    form = next((form for form in preferred if form in works), None)
    return "fp32: nothing smaller works here" if form is None else f"{form}: {_REASONS[form]}"


def _tried(form: str, spec: ModelSpec, wanted: Any) -> tuple[FormTrial, Any]:
    """Load and run a form; return what was found, and its distributions."""
    start = time.perf_counter()
    try:
        with closing(open_runners([spec])) as runners:
            runner = cast("InspectableRunner", next(runners))
            loaded = time.perf_counter()
            (found,) = runner.distributions([_TEXT], max_tokens=64)
            params = SamplingParams(max_new_tokens=8)
            list(runner.generate([GenerateRequest(prompt=_TEXT, params=params)]))
            end = time.perf_counter()
    except Exception as problem:  # whatever stops a tiny model would stop any other
        return FormTrial(form=form, why_not=_one_line(problem)), None
    kl = 0.0 if wanted is None else _kl(wanted, found)
    off = None if kl <= _MOST_KL else f"its distributions are off by {kl:.2g} nats per token"
    return (
        FormTrial(form=form, why_not=off, load_s=loaded - start, run_s=end - loaded, kl=kl),
        found,
    )


def _kl(wanted: Any, found: Any) -> float:
    n = min(wanted.logprobs.shape[1], found.logprobs.shape[1])
    return float(np.mean(kl_divergences(wanted.logprobs[:, :n], found.logprobs[:, :n])))


def _make_model(folder: Path) -> Path:
    """Write a model of random weights in the shape of the bundled one, with its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from runners.hf.loading import quiet_transformers  # before transformers: it keeps that quiet

    bundled = Path(catalogue_spec("tiny").weights)
    folder.mkdir()
    for path in bundled.iterdir():
        if path.suffix == ".json":
            shutil.copy(path, folder)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(bundled)
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def _one_line(problem: Exception) -> str:
    said = " ".join(str(problem).split())
    return said or type(problem).__name__
