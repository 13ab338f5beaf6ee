"""What a number depends on besides model and data: code, packages, machine."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from evalcore import __version__

__all__ = ["code_version", "environment"]

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "numpy", "scipy", "sacrebleu")


def code_version() -> str:
    """Return the version of Parity."""
    return f"parity-eval {__version__}"


@cache
def environment() -> dict[str, str]:
    """Return versions of Python and the packages that can change a number, and the machine."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
