"""Rotary embeddings: how a model of transformers stretches them, and how a GGUF file says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from evalcore.errors import ModelError
from runners.checkpoints import Checkpoint

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["Rope", "read_rope"]

_STRETCHED: Final = ("linear", "yarn")
"""Ways that llama.cpp computes by itself, from a factor."""
_BY_DIVISORS: Final = "llama3"
_YARN_RAMP: Final[Mapping[str, object]] = {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
"""What llama.cpp takes for these architectures, whatever the file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """Angles are position · base^(−2i/size), stretched."""

    base: float
    kind: str
    """``default``, ``linear``, ``yarn`` or ``llama3``."""
    factor: float
    original_window: int
    """Tokens of context before it was stretched."""
    attention_factor: float
    """What cosines and sines are multiplied by."""
    divisors: torch.Tensor | None
    """Of each pair's angle, shape (size / 2,); None where the kind and the factor say all."""

    def describe(self, writer: GGUFWriter) -> None:
        """Write metadata; the divisors are a tensor, ``rope_freqs.weight``."""
        from gguf import RopeScalingType

        writer.add_rope_freq_base(self.base)
        if self.kind not in _STRETCHED:
            return
        writer.add_rope_scaling_type(RopeScalingType(self.kind))
        writer.add_rope_scaling_factor(self.factor)
        if self.kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(self.original_window)
            # llama.cpp multiplies by 1 + ln(factor) / 10 by itself.
            own = 1.0 + 0.1 * math.log(self.factor)
            writer.add_rope_scaling_attn_factors(self.attention_factor / own)


def read_rope(checkpoint: Checkpoint, architecture: str) -> Rope:
    """Read from a checkpoint's configuration, with the numbers that transformers computes from it.

    Parameters
    ----------
    checkpoint
        Convertible, its configuration with all defaults.
    architecture
        llama.cpp's name of it.

    Raises
    ------
    ModelError
        For a way to stretch angles that llama.cpp doesn't have, or not for this architecture.
    """
    where = checkpoint.folder / "config.json"
    said = checkpoint.config["rope_parameters"]
    kind = str(said["rope_type"])
    known = ("default", *_STRETCHED, *([_BY_DIVISORS] if architecture == "llama" else []))
    if kind not in known:
        raise ModelError(
            f"rope_type must be one of {', '.join(known)} to be written as GGUF for "
            f"{architecture}; got {kind!r} ({where})"
        )
    for field, wanted in _YARN_RAMP.items():
        got = said.get(field)
        if kind == "yarn" and got is not None and got != wanted:
            raise ModelError(f"{field} must be {wanted} to be written as GGUF; got {got} ({where})")
    angles, attention_factor = _computed(checkpoint, kind)
    window = int(checkpoint.config["max_position_embeddings"])
    base = float(said["rope_theta"])
    return Rope(
        base=base,
        kind=kind,
        factor=float(said.get("factor", 1.0)),
        original_window=int(said.get("original_max_position_embeddings") or window),
        attention_factor=attention_factor,
        divisors=_plain(base, len(angles)) / angles if kind == _BY_DIVISORS else None,
    )


def _computed(checkpoint: Checkpoint, kind: str) -> tuple[torch.Tensor, float]:
    """Return each pair's angle at position 1 and the factor of cosines and sines."""
    if kind == "default":
        return torch.empty(0), 1.0
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from runners.hf.loading import one_line_errors, quiet_transformers

    with quiet_transformers(), one_line_errors(checkpoint.folder):
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        angles, attention_factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    return angles, float(attention_factor)


def _plain(base: float, n_pairs: int) -> torch.Tensor:
    return 1.0 / base ** (torch.arange(n_pairs, dtype=torch.float32) / n_pairs)
