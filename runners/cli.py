"""The commands ``parity models``, ``parity doctor`` and ``parity convert``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalcore.commandline import JsonOption, print_json, print_table
from evalcore.errors import InputError

if TYPE_CHECKING:
    from evalcore.records import Openness
    from runners.doctor import Diagnosis
    from runners.form_trials import FormTrial
    from runners.gguf.convert_adapter import AdapterConversion
    from runners.listing import ListedModel

__all__ = ["convert", "doctor", "models"]


def models(
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="NAME", help="Only this family, such as llama."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="TEXT", help="Only licences with this in their name."),
    ] = None,
    openness: Annotated[
        Literal["full", "weights", "data", "code"] | None,
        typer.Option("--openness", help="Only those of which this is open; full: all three."),
    ] = None,
    fits: Annotated[
        str | None,
        typer.Option("--fits", metavar="SIZE", help="Only those that run in this, such as 8GiB."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that are known by name, for use as zoo:NAME.

    PARITY_CATALOGUE names a file of models of your own.
    """
    from evalcore.codec import jsonable
    from runners.listing import listed_models
    from runners.options import parse_bytes

    fits_bytes = None if fits is None else parse_bytes(fits)
    found = listed_models(family=family, licence=licence, openness=openness, fits_bytes=fits_bytes)
    if as_json:
        listed = [jsonable(model) for model in found]
        print_json([{**model.pop("entry"), **model} for model in listed])
    elif not found:
        print("no model of the catalogue passes these filters")
    else:
        _print_models(found)


def _print_models(found: Sequence[ListedModel]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    fits = ["fits as"] if found[0].fits_as else []
    for column in ("model", "weights", *fits, "bf16", "Q4_K_M", "open", "cost", "licence"):
        table.add_column(column, no_wrap=column != "licence", overflow="fold")
    for model in found:
        cost = model.entry.training_cost
        table.add_row(
            f"zoo:{model.entry.name}",
            _short(model.n_parameters),
            *([model.fits_as] if model.fits_as else []),
            f"{model.memory_bytes['bf16'] / 2**30:.1f}",
            f"{model.memory_bytes['Q4_K_M'] / 2**30:.1f}",
            _marks(model.openness),
            f"${cost.usd:g}" if cost else "",
            model.licence or "?",
        )
    Console().print(table)
    print("bf16, Q4_K_M: GiB needed to run it in that form. cost: of making it, as published")
    print("open: weights, data, code; ● open, ◐ partly, ○ closed")


def _short(n_parameters: int) -> str:
    unit, name = (1e9, "B") if n_parameters >= 1e9 else (1e6, "M")
    return f"{n_parameters / unit:.3g} {name}"


def _marks(openness: Openness) -> str:
    signs = {"open": "●", "partly": "◐", "closed": "○"}
    return "".join(signs[level] for level in (openness.weights, openness.data, openness.code))


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Such as hf:DIR+lora:DIR*0.5 or zoo:tiny-math; or lora:DIR."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="gguf:FILE", help="With ?type=Q8_0, else Q4_K_M, and F32 for an adapter alone."
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="What an adapter alone goes on, hf:, zoo: or gguf:; else what it names itself.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model, its adapters merged in, or an adapter alone as a GGUF file for llama.cpp.

    Adapters are merged in single precision before anything is quantised. The file appears only
    when it is whole and llama.cpp cuts texts into the same tokens as transformers. An adapter alone
    is checked against its base as for a run.
    """
    from runners.gguf.adapters import ADAPTER_TYPES
    from runners.gguf.convert import convert, split_target
    from runners.gguf.convert_adapter import MARK, convert_adapter, with_base
    from runners.modelstring import parse_model

    if source.startswith(MARK):
        path, kind = split_target(target, types=ADAPTER_TYPES, default=ADAPTER_TYPES[0])
        _print_adapter(convert_adapter(with_base(source, base), path, kind, note=_note), as_json)
        return
    if base is not None:
        raise InputError(f"--base is for an adapter alone ({MARK}FOLDER); got {source!r}")
    path, kind = split_target(target)
    done = convert(parse_model(source), path, kind, note=_note)
    if as_json:
        print_json(done)
        return
    print(f"{done.path}: {done.type}, {done.size_bytes / 2**20:.1f} MiB, {done.n_tensors} tensors")
    print(f"tokens of {done.n_checked_texts} texts are those of transformers")
    if done.n_fallback:
        print(
            f"{done.n_fallback} matrices have rows that are no multiple of {done.row_multiple}, "
            f"which {done.type} needs: llama.cpp gave them another type"
        )


def _note(step: str) -> None:
    print(step, file=sys.stderr)


def _print_adapter(done: AdapterConversion, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    print(
        f"{done.path}: {done.type}, {done.size_bytes / 2**20:.1f} MiB, changes {done.n_matrices} "
        f"matrices of {done.base}"
    )


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run: devices, memory, quantisation, package versions."""
    from runners.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis)
    else:
        _print_diagnosis(diagnosis)


def _trial_row(trial: FormTrial) -> dict[str, str]:
    """Write what was measured of a form of a tiny model."""
    measured = {
        "load, s": (trial.load_s, ".2f"),
        "run, s": (trial.run_s, ".2f"),
        "KL from fp32": (trial.kl, ".1e"),
    }
    texts = {name: "" if n is None else f"{n:{form}}" for name, (n, form) in measured.items()}
    return {"form": trial.form, "works": "yes" if trial.why_not is None else trial.why_not, **texts}


def _print_diagnosis(found: Diagnosis) -> None:
    print(f"{found.system}, Python {found.python}, {found.n_cores} cores")
    for device in found.devices:
        memory = f"{device.memory_bytes / 2**30:.1f} GiB"
        print(f"device {device.name}: {device.description}, {memory}")
        print_table([_trial_row(trial) for trial in device.forms])
        print(f"begin with {device.default}")
    for name, reason in found.backends.items():
        print(f"backend {name}: {'works' if reason is None else reason}")
    for name, version in found.packages.items():
        print(f"{name} {version or 'is not installed'}")
    hub = "is not asked (HF_HUB_OFFLINE)" if found.hub_offline else "is asked for hub ids"
    print(f"the Hugging Face hub {hub}")
