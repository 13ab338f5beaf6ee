"""A GGUF file in memory, and the adapters that were used on it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, cast

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.engine.memory import give_back_freed_memory
from runners.engine.planning import Chunk
from runners.gguf.adapters import as_gguf
from runners.gguf.context import Context, ContextSize
from runners.gguf.header import GgufHeader, read_header
from runners.gguf.library import last_error, library, model_parameters
from runners.gguf.runner import GgufRunner
from runners.gguf.settings import gguf_settings
from runners.gguf.tokenizer import GgufTokenizer
from runners.options import RunnerOptions

__all__ = ["GgufResident"]


class GgufResident:
    """Loads a file once and hands out runners of its variants.

    Each piece of work gets a context of its own, with the variant's adapters: so variants can be
    used in turns, at any moment, and closing one leaves nothing behind in another.

    Parameters
    ----------
    spec
        Resolved; its adapters don't matter.
    options
        Sizes of batches.

    Raises
    ------
    ModelError
        If llama.cpp can't load the file here.
    """

    def __init__(self, spec: ModelSpec, options: RunnerOptions) -> None:
        self.header: GgufHeader = read_header(Path(spec.weights))
        self.settings = gguf_settings(spec, self.header)
        self.options = options
        self._lib = library()
        self._model = self._load()
        self._adapters: dict[str, Any] = {}
        self.tokenizer = GgufTokenizer(self._model, self.header.metadata)
        self.planned: tuple[Hashable, Sequence[Chunk]] = (None, ())
        """Chunks of the latest job, which the next variant probably asks for too."""

    def runner(self, spec: ModelSpec) -> GgufRunner:
        """Return a runner of one variant, its adapters read."""
        for adapter in spec.adapters:
            self._handle(adapter)
        return GgufRunner(spec, resident=self)

    def context(self, size: ContextSize, adapters: Sequence[Adapter]) -> Context:
        """Return a new context of a variant."""
        return Context(
            self._model,
            size,
            n_threads=self.settings.n_threads,
            exact=self.settings.exact,
            adapters=[(self._handle(adapter), adapter.weight) for adapter in adapters],
        )

    @property
    def cell_bytes(self) -> int:
        """What the keys and values of one token take."""
        lib, model = self._lib, self._model
        n_heads = max(1, lib.llama_model_n_head(model))
        size = lib.llama_model_n_embd(model) // n_heads * lib.llama_model_n_head_kv(model)
        n_bytes = 4 if self.settings.exact else 2
        return int(2 * lib.llama_model_n_layer(model) * size * n_bytes)

    @property
    def weights_bytes(self) -> int:
        """What the file's tensors take in memory, without adapters."""
        return int(self._lib.llama_model_size(self._model))

    def close(self) -> None:
        """Give back the memory; again is fine."""
        if self._model:
            for handle in self._adapters.values():
                self._lib.llama_adapter_lora_free(handle)
            self._lib.llama_model_free(self._model)
            self._adapters.clear()
            self._model = None
            give_back_freed_memory()

    def _load(self) -> Any:
        parameters = model_parameters()
        parameters.n_gpu_layers = self.settings.n_gpu_layers
        # llama.cpp lays weights out anew for the processor: a mapped file would be there twice.
        parameters.load_mode = self._lib.LLAMA_LOAD_MODE_NONE
        last_error()
        path = str(self.header.path).encode()
        model = self._lib.llama_model_load_from_file(path, parameters)
        if not model:
            raise ModelError(f"llama.cpp can't load the model: {last_error()} ({self.header.path})")
        if self._lib.llama_model_is_recurrent(model) or self._lib.llama_model_is_hybrid(model):
            self._lib.llama_model_free(model)
            raise ModelError(
                f"recurrent models can't share beginnings, which scoring needs: "
                f"{self.header.architecture} ({self.header.path})"
            )
        return model

    def _handle(self, adapter: Adapter) -> Any:
        """Return an adapter of llama.cpp, read the first time that it is asked for."""
        if adapter.sha256 not in self._adapters:
            with as_gguf(adapter, self.header) as path:
                last_error()
                handle = self._lib.llama_adapter_lora_init(self._model, str(path).encode())
            if not handle:
                raise ModelError(
                    f"adapter {adapter.name!r} does not fit the base: {last_error()} "
                    f"({adapter.path})"
                )
            self._adapters[adapter.sha256] = cast(Any, handle)
            give_back_freed_memory()
        return self._adapters[adapter.sha256]
