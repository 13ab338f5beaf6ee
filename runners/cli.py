"""The commands ``parity models`` and ``parity doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalcore.commandline import JsonOption, print_json

if TYPE_CHECKING:
    from runners.doctor import Diagnosis

__all__ = ["doctor", "models"]


def models(as_json: JsonOption = False) -> None:
    """List the models that are known by name, for use as zoo:NAME."""
    from runners.catalogue import catalogue

    entries = list(catalogue().values())
    if as_json:
        print_json(entries)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("model", "made of", "licence", "description"):
        table.add_column(column)
    for entry in entries:
        made_of = f"{entry.base} + adapter" if entry.base else "own weights"
        table.add_row(f"zoo:{entry.name}", made_of, entry.licence, entry.description)
    Console().print(table)


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run: devices, memory, quantisation, package versions."""
    from runners.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis)
    else:
        _print_diagnosis(diagnosis)


def _print_diagnosis(found: Diagnosis) -> None:
    print(f"{found.system}, Python {found.python}, {found.n_cores} cores")
    for device in found.devices:
        memory = f"{device.memory_bytes / 2**30:.1f} GiB"
        print(f"device {device.name}: {device.description}, {memory}")
        for name, reason in device.quantizations.items():
            print(f"  quant={name}: {'works' if reason is None else reason}")
    for name, reason in found.backends.items():
        print(f"backend {name}: {'works' if reason is None else reason}")
    for name, version in found.packages.items():
        print(f"{name} {version or 'is not installed'}")
    hub = "is not asked (HF_HUB_OFFLINE)" if found.hub_offline else "is asked for hub ids"
    print(f"the Hugging Face hub {hub}")
