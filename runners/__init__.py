"""Model strings to running models: transformers, quantisation, LoRA stacks, the bundled family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "RunnerOptions": "options",
    "open_runners": "loading",
    "open_together": "loading",
    "parse_bytes": "options",
    "parse_model": "modelstring",
    "resolve": "resolving",
}


def __getattr__(name: str) -> object:
    """Load what is asked for; commands' options lie here, too, and help must come at once."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
