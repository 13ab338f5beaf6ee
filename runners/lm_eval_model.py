"""A model class for lm-evaluation-harness; importing this registers it there as ``parity``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast

import lm_eval.models  # type: ignore[import-untyped]  # noqa: F401
import torch
from lm_eval.api.instance import Instance  # type: ignore[import-untyped]
from lm_eval.api.model import LM  # type: ignore[import-untyped]
from lm_eval.api.registry import register_model  # type: ignore[import-untyped]
from tqdm import tqdm  # type: ignore[import-untyped]

from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.protocols import (
    Completion,
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    RollingRequest,
)
from evalcore.records import Message, Role
from evalcore.tasks.harness import sampling_params
from runners.hf.encoding import Encoder
from runners.loading import open_runners
from runners.modelstring import parse_model
from runners.options import RunnerOptions

__all__ = ["ParityLM"]

_DTYPES = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
}
_IS_MODEL_STRING = re.compile(r"(hf|zoo|gguf|openai|fake):")
_ResultT = TypeVar("_ResultT", Completion, Loglikelihood)


# The harness registers its own models only as long as there are none: that import comes first.
@register_model("parity")
class ParityLM(LM):  # type: ignore[misc]
    """A variant, run by Parity.

    Parameters
    ----------
    pretrained
        Folder or hub id, or any of Parity's model strings, such as ``zoo:tiny+lora:DIR*0.5``.
    dtype
        ``float32``, ``bfloat16``, ``float16`` or a short form of these; None is Parity's default.
    peft
        Folder of a LoRA adapter.
    device
        Such as ``cpu`` or ``cuda:0``. None takes the best there is, and so does ``cuda`` on a
        machine without, since the harness says ``cuda:0`` unless it is told something else.
    batch_size
        Most sequences run together; ``auto`` and None leave it to Parity.
    max_batch_size
        Not used; the harness hands it to every model.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        dtype: str | None = None,
        peft: str | None = None,
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if (device or "").startswith("cuda") and not torch.cuda.is_available():
            device = None
        spec = parse_model(model_string(pretrained, dtype=dtype, peft=peft, device=device))
        self._opened = closing(open_runners([spec], options=_options(batch_size)))
        self._runner = next(self._opened.__enter__())

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation given its context, and whether it is greedy."""
        asked = [
            LoglikelihoodRequest(context=r.args[0], continuation=r.args[1], harness_rules=True)
            for r in requests
        ]
        found = _in_order(self._runner.loglikelihood(asked), len(asked), quiet=disable_tqdm)
        answers = [(result.logprob, result.is_greedy) for result in found]
        self._remember("loglikelihood", requests, answers)
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of each whole text."""
        asked = [RollingRequest(text=request.args[0], scores_marks=True) for request in requests]
        found = _in_order(self._runner.loglikelihood_rolling(asked), len(asked), quiet=disable_tqdm)
        answers = [result.logprob for result in found]
        self._remember("loglikelihood_rolling", requests, answers)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Continuation of each context, up to a stop string; repeated requests differ in seed."""
        repeats: dict[int, int] = {}
        asked = []
        for request in requests:
            seed = repeats[id(request)] = repeats.get(id(request), -1) + 1
            context, settings = request.args
            params = sampling_params(settings, seed=seed)
            asked.append(GenerateRequest(prompt=context, params=params))
        found = _in_order(self._runner.generate(asked), len(asked), quiet=disable_tqdm)
        answers = [result.text for result in found]
        self._remember("generate_until", requests, answers)
        return answers

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Write turns as the variant's chat template does; without system turns if it refuses them.

        Without a generation prompt, the last turn is left open.
        """
        turns = [Message(role=cast(Role, t["role"]), content=t["content"]) for t in chat_history]
        return self._encoder.written(turns, goes_on=not add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the variant's chat template; a name for another one is refused.

        Raises
        ------
        InputError
            For a name: ``pretrained=hf:DIR?template=NAME`` chooses among Parity's templates.
        """
        if isinstance(chat_template, str) and chat_template:
            raise InputError(
                "--apply_chat_template takes no name for --model parity; choose a template by "
                f"pretrained=hf:DIR?template=NAME; got {chat_template!r}"
            )
        return self._encoder.style[0] if chat_template else None

    @property
    def tokenizer_name(self) -> str:
        """What tells the harness's caches of requests apart."""
        return content_hash([self._runner.spec.fingerprint, self._encoder.style])

    @property
    def _encoder(self) -> Encoder:
        encoder = getattr(self._runner, "encoder", None)
        if not isinstance(encoder, Encoder):
            raise InputError(
                f"chat templates need a model of hf: or zoo:; got {self._runner.spec.name!r}"
            )
        return encoder

    def close(self) -> None:
        """Give back the memory."""
        self._opened.__exit__(None, None, None)

    def _remember(self, kind: str, requests: list[Instance], answers: Sequence[Any]) -> None:
        """Hand answers to the harness's own cache, which does nothing unless asked for."""
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)


def model_string(
    pretrained: str, *, dtype: str | None, peft: str | None, device: str | None
) -> str:
    """Put the harness's arguments together to a model string.

    Raises
    ------
    InputError
        For an unknown dtype, and for settings beside a model string, which has its own.
    """
    if _IS_MODEL_STRING.match(pretrained):
        if dtype or peft:
            raise InputError(
                f"dtype and peft belong into the model string {pretrained!r}: ?dtype= and +lora:"
            )
        return pretrained
    if dtype not in (None, "auto", *_DTYPES):
        raise InputError(f"dtype must be one of auto, {', '.join(_DTYPES)}; got {dtype!r}")
    settings = {"dtype": _DTYPES.get(dtype or "auto"), "device": device}
    given = "&".join(f"{name}={value}" for name, value in settings.items() if value)
    stack = f"+lora:{peft}" if peft else ""
    return f"hf:{pretrained}{'?' if given else ''}{given}{stack}"


def _options(batch_size: int | str | None) -> RunnerOptions | None:
    if batch_size is None or str(batch_size).startswith("auto"):
        return None
    return RunnerOptions(batch_size=int(batch_size))


def _in_order(
    batches: Iterator[Finished[_ResultT]], n_requests: int, *, quiet: bool
) -> list[_ResultT]:
    results: dict[int, _ResultT] = {}
    with tqdm(total=n_requests, disable=quiet, desc="Running requests") as bar:
        for batch in batches:
            results.update(batch.results)
            bar.update(len(batch.results))
    return [results[place] for place in range(n_requests)]
