"""Model strings to running models: transformers, quantisation, LoRA stacks, the bundled family."""

from __future__ import annotations

from runners.loading import open_runners, open_together
from runners.modelstring import parse_model
from runners.options import RunnerOptions, parse_bytes
from runners.resolving import resolve

__all__ = [
    "RunnerOptions",
    "open_runners",
    "open_together",
    "parse_bytes",
    "parse_model",
    "resolve",
]
