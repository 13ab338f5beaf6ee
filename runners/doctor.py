"""What this machine can run, tried rather than guessed."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import torch
from huggingface_hub import is_offline_mode

from runners.backends import BACKENDS, backend
from runners.form_trials import FormTrial, fitting_default, try_forms

__all__ = ["Device", "Diagnosis", "diagnose"]

COMMON_PACKAGES: Final = ("parity-eval", "torch", "huggingface_hub")
"""Those whose version can change a number, whatever the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a model can run."""

    name: str
    """As ``?device=`` takes it."""
    description: str
    memory_bytes: int
    forms: tuple[FormTrial, ...]
    """A tiny model in each of them."""
    default: str
    """Form to begin with, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found."""

    system: str
    python: str
    n_cores: int
    """Cores that this process may use."""
    n_threads: int
    """Threads that torch uses."""
    devices: tuple[Device, ...]
    backends: Mapping[str, str | None]
    """By name: None if its models can be run in this installation, else the reason why not."""
    packages: Mapping[str, str | None]
    """Installed versions; None if not installed."""
    hub_offline: bool
    """Whether ``HF_HUB_OFFLINE`` forbids the Hugging Face hub."""


def diagnose() -> Diagnosis:
    """Look at packages and memory, and run a tiny model in each form on each device."""
    return Diagnosis(
        system=platform.platform(),
        python=platform.python_version(),
        n_cores=_n_cores(),
        n_threads=torch.get_num_threads(),
        devices=(_cpu(), *(_gpu(index) for index in range(torch.cuda.device_count()))),
        backends={name: backend(name).why_not() for name in BACKENDS},
        packages={name: _version(name) for name in _packages()},
        hub_offline=is_offline_mode(),
    )


def _cpu() -> Device:
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    said = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    return _device("cpu", said, memory_bytes)


def _gpu(index: int) -> Device:
    properties = torch.cuda.get_device_properties(index)
    return _device(f"cuda:{index}", properties.name, properties.total_memory)


def _device(name: str, description: str, memory_bytes: int) -> Device:
    trials = try_forms(name)
    return Device(
        name=name,
        description=description,
        memory_bytes=memory_bytes,
        forms=trials,
        default=fitting_default(name, trials),
    )


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _packages() -> list[str]:
    """Return the distributions of all backends, each once."""
    of_backends = [package for name in BACKENDS for package in backend(name).packages]
    return list(dict.fromkeys((*COMMON_PACKAGES, *of_backends)))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
