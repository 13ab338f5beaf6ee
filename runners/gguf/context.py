"""One evaluation state of llama.cpp: keys and values of several sequences, and how they grow."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import ModelError
from runners.engine.memory import give_back_freed_memory
from runners.gguf.library import last_error, library

__all__ = ["Batch", "Context", "ContextSize"]

Integers = NDArray[np.int32]
_LONGEST_PASS = 512
"""Tokens that go through the model at once; llama.cpp cuts longer batches into such passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSize:
    """How much a context has room for."""

    n_cells: int
    """Tokens whose keys and values fit, of all sequences together."""
    n_sequences: int
    n_batch: int
    """Most tokens of a batch."""
    n_outputs: int
    """Most tokens of a batch whose logits are read; at least as many as there are sequences."""
    shares_cells: bool
    """Whether sequences may have tokens in common; if not, each has an equal part of the cells, so
    that none attends over those of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tokens to evaluate."""

    tokens: Integers
    """(n,)"""
    positions: Integers
    """(n,)"""
    sequences: Integers
    """Those of each token one after the other."""
    n_sequences: Integers
    """(n,) How many of them belong to each token, at least one."""
    is_read: NDArray[np.int8]
    """(n,) Whether its logits are wanted."""


class Context:
    """Keys and values of one variant; contexts of one model don't touch each other.

    Parameters
    ----------
    model
        Of llama.cpp.
    size
        What it has room for.
    n_threads
        Threads to compute with.
    exact
        Whether keys and values are kept in single precision and attention is computed plainly.
    adapters
        Adapters of the model with their weights.

    Raises
    ------
    ModelError
        If there is not enough memory.
    """

    def __init__(
        self,
        model: Any,
        size: ContextSize,
        *,
        n_threads: int,
        exact: bool,
        adapters: Sequence[tuple[Any, float]],
    ) -> None:
        self._lib = library()
        self._n_vocabulary = self._lib.llama_vocab_n_tokens(self._lib.llama_model_get_vocab(model))
        self.size = size
        self._handle = self._lib.llama_init_from_model(
            model, _parameters(size, n_threads=n_threads, exact=exact)
        )
        if not self._handle:
            raise ModelError(
                f"llama.cpp has no room for {size.n_cells} tokens of context: {last_error()}"
            )
        self._memory = self._lib.llama_get_memory(self._handle)
        self._put(adapters)

    def _put(self, adapters: Sequence[tuple[Any, float]]) -> None:
        n = len(adapters)
        handles = (self._lib.llama_adapter_lora_p_ctypes * n)(*(handle for handle, _ in adapters))
        weights = (ctypes.c_float * n)(*(weight for _, weight in adapters))
        if n and self._lib.llama_set_adapters_lora(self._handle, handles, n, weights) != 0:
            raise ModelError(f"llama.cpp refuses the adapters: {last_error()}")

    def evaluate(self, batch: Batch) -> NDArray[np.float32]:
        """Evaluate tokens.

        Returns
        -------
        numpy.ndarray
            Logits of the read tokens, in order, of shape (n_read, n_vocabulary). They may be
            written to, and are overwritten by the next evaluation.

        Raises
        ------
        ModelError
            If llama.cpp fails; says why.
        """
        ends = np.cumsum(batch.n_sequences, dtype=np.int64)
        starts = batch.sequences.ctypes.data + 4 * (ends - batch.n_sequences)
        pointers = starts.astype(np.uint64)
        code = self._lib.llama_decode(
            self._handle,
            self._lib.llama_batch(
                n_tokens=len(batch.tokens),
                token=_at(batch.tokens, ctypes.c_int32),
                pos=_at(batch.positions, ctypes.c_int32),
                n_seq_id=_at(batch.n_sequences, ctypes.c_int32),
                seq_id=ctypes.cast(
                    pointers.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))
                ),
                logits=_at(batch.is_read, ctypes.c_int8),
            ),
        )
        if code != 0:
            raise ModelError(
                f"llama.cpp could not evaluate {len(batch.tokens)} tokens: "
                f"{last_error()} (code {code})"
            )
        n_read = int(batch.is_read.sum())
        if n_read == 0:
            return np.empty((0, self._n_vocabulary), np.float32)
        logits = self._lib.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(logits, shape=(n_read, self._n_vocabulary))

    def copy(self, source: int, target: int, start: int = -1, stop: int = -1) -> None:
        """Make tokens of one sequence part of another; positions from start to stop, or all."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, start, stop)

    def cut(self, sequence: int, start: int = -1) -> None:
        """Forget a sequence from a position on, or all of it."""
        self._lib.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def keep(self, sequence: int) -> None:
        """Forget all sequences but one."""
        self._lib.llama_memory_seq_keep(self._memory, sequence)

    def clear(self) -> None:
        """Forget everything."""
        self._lib.llama_memory_clear(self._memory, False)

    def close(self) -> None:
        """Give back the memory; again is fine."""
        if self._handle:
            self._lib.llama_free(self._handle)
            self._handle = None
            give_back_freed_memory()


def _parameters(size: ContextSize, *, n_threads: int, exact: bool) -> Any:
    lib = library()
    wanted = lib.llama_context_default_params()
    wanted.n_ctx = size.n_cells
    wanted.n_seq_max = size.n_sequences
    wanted.n_batch = size.n_batch
    wanted.n_ubatch = min(size.n_batch, _LONGEST_PASS)
    wanted.n_outputs_max = min(size.n_outputs, wanted.n_ubatch)
    wanted.n_threads = wanted.n_threads_batch = n_threads
    wanted.kv_unified = size.shares_cells
    wanted.no_perf = True
    if exact:
        wanted.type_k = wanted.type_v = lib.GGML_TYPE_F32
        wanted.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return wanted


def _at(values: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(values.ctypes.data, ctypes.POINTER(kind))
