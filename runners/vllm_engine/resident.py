"""A base in vLLM, and the adapters that were used on it."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoTokenizer

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.checkpoints import read_checkpoint
from runners.places import locate
from runners.vllm_engine.adapters import is_as_it_is, write_stack
from runners.vllm_engine.arguments import engine_arguments
from runners.vllm_engine.library import VllmLibrary, load_library
from runners.vllm_engine.runner import VllmRunner
from runners.vllm_engine.settings import vllm_settings

__all__ = ["VllmResident"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    engine: Any
    folder: TemporaryDirectory[str]
    """Of the stacks that were written."""


class VllmResident:
    """Loads a base once and hands out runners of its variants.

    Parameters
    ----------
    spec
        Resolved, as the backend's ``shared`` returns it: ``max_lora_rank`` says for which adapters
        room is made.
    library
        vLLM, or what behaves like it.

    Raises
    ------
    ModelError
        If vLLM can't load the model here.
    """

    def __init__(self, spec: ModelSpec, library: VllmLibrary | None = None) -> None:
        self.library = library or load_library()
        folder = locate(spec.weights, revision=spec.revision)
        checkpoint = read_checkpoint(folder)
        settings = vllm_settings(spec)
        max_len = settings.max_len or checkpoint.window
        if max_len is None:
            raise ModelError(
                f"config.json doesn't say how long a text may be; use ?max_len= ({folder})"
            )
        self.max_len: int = max_len
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.end_tokens = _end_tokens(folder)
        self.size_on_disk_bytes = sum(file.stat().st_size for file in checkpoint.weight_files)
        arguments = engine_arguments(
            spec,
            settings,
            folder=str(folder),
            max_len=max_len,
            lora_rank=settings.max_lora_rank or 0,
        )
        self._adapters: dict[str, Any] = {}
        self._loaded: _Loaded | None = _Loaded(
            engine=self._load(arguments), folder=TemporaryDirectory(prefix="parity-stacks-")
        )

    def runner(self, spec: ModelSpec) -> VllmRunner:
        """Return a runner of one variant, its stack written."""
        self._adapter(spec)
        return VllmRunner(spec, resident=self)

    def run(
        self, spec: ModelSpec, prompts: Sequence[Sequence[int]], params: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        """Let vLLM run prompts of a variant; its outputs come in the order of `prompts`."""
        if self._loaded is None:
            raise ModelError(f"model {spec.name!r} is closed; it ran until the next was asked")
        library = self.library
        outputs: list[Any] = self._loaded.engine.generate(
            [library.tokens(prompt_token_ids=list(prompt)) for prompt in prompts],
            [library.sampling(**arguments) for arguments in params],
            lora_request=self._adapter(spec),
            use_tqdm=False,
        )
        return outputs

    def close(self) -> None:
        """Give back the memory; again is fine."""
        if self._loaded is None:
            return
        core = getattr(getattr(self._loaded.engine, "llm_engine", None), "engine_core", None)
        if core is not None and hasattr(core, "shutdown"):
            core.shutdown()
        self._loaded.folder.cleanup()
        self._loaded = None
        self._adapters.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, arguments: Mapping[str, Any]) -> Any:
        try:
            return self.library.engine(**arguments)
        except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"vLLM can't load the model: {reason} ({arguments['model']})"
            ) from error

    def _adapter(self, spec: ModelSpec) -> Any | None:
        """Return the request of a variant's stack, written the first time that it is asked for."""
        if not spec.adapters:
            return None
        if spec.fingerprint not in self._adapters:
            if self._loaded is None:
                raise ModelError(f"model {spec.name!r} is closed; it ran until the next was asked")
            number = len(self._adapters) + 1
            path = Path(spec.adapters[0].path)
            if not is_as_it_is(spec):
                path = write_stack(spec, Path(self._loaded.folder.name) / str(number))
            self._adapters[spec.fingerprint] = self.library.adapter(
                lora_name=f"stack-{number}", lora_int_id=number, lora_path=str(path)
            )
        return self._adapters[spec.fingerprint]


def _end_tokens(folder: Path) -> frozenset[int]:
    """Return the marks by which a checkpoint ends a text."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        ends = json.loads(path.read_text("utf-8")).get("eos_token_id") if path.is_file() else None
        if ends is not None:
            return frozenset([ends] if isinstance(ends, int) else ends)
    return frozenset()
