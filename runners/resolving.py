"""From a spec as written to one that names exact bytes, with bad input found before any load."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.adapters import check_fits, read_adapter
from runners.checkpoints import Checkpoint, read_checkpoint
from runners.modelstring import check_settings, default_name

__all__ = ["locate", "resolve", "window"]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HUB_FILES: Final = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")


def resolve(spec: ModelSpec) -> ModelSpec:
    """Find a spec's files, check them, and fill in what follows from them.

    Parameters
    ----------
    spec
        As :func:`runners.parse_model` returns it. A resolved spec comes back unchanged.

    Returns
    -------
    ModelSpec
        With absolute folders, the commit of a hub id, the hashes of all files, the dtype that the
        model will run in and a name. A quantised model runs in bfloat16 unless said otherwise, any
        other as its checkpoint says.

    Raises
    ------
    ModelError
        For a missing or broken folder, an adapter that does not fit, or a quantisation that this
        installation lacks.
    """
    check_settings(spec)
    name = spec.name or default_name(spec)
    if spec.backend in ("fake", "openai"):
        return replace(spec, name=name)
    spec = _at_home(spec)
    folder = locate(spec.weights, revision=spec.revision)
    is_local = os.path.isdir(spec.weights)
    checkpoint = read_checkpoint(folder)
    _check_quantization(spec, checkpoint)
    spec = replace(
        spec,
        name=name,
        # The hub's cache names a folder by its commit: the run that follows loads what was hashed.
        revision=None if is_local else folder.name,
        sha256=checkpoint.sha256,
        dtype=spec.dtype or ("bfloat16" if spec.quantization else checkpoint.dtype),
        adapters=tuple(_resolve_adapter(adapter, checkpoint) for adapter in spec.adapters),
    )
    check_settings(spec)
    return spec


def locate(place: str, *, revision: str | None = None) -> Path:
    """Return the folder of a local path or of a hub id.

    A path is never looked up on the network. A hub id is downloaded, or taken from the hub's cache
    where there is no network or ``HF_HUB_OFFLINE=1`` forbids it.

    Raises
    ------
    ModelError
        If it is neither a folder nor in the reach of the hub.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelError(f"a revision is for hub ids; {place} is a folder (got @{revision})")
        return folder.absolute()
    if folder.exists():
        raise ModelError(f"a model or adapter must be a folder; {place} is a file")
    if not _HUB_ID.fullmatch(place) or place.startswith("."):
        raise ModelError(f"model folder not found: {place}")
    return _download(place, revision)


def window(spec: ModelSpec) -> int | None:
    """Return how many tokens a resolved spec's model reads at once; None where no file says it."""
    if spec.backend in ("fake", "openai"):
        return None
    return read_checkpoint(locate(spec.weights, revision=spec.revision)).window


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(hub_id, revision=revision, allow_patterns=list(_HUB_FILES))
    except Exception as error:
        # The hub's client raises errors of a dozen unrelated classes; to the user all are one.
        at = f"@{revision}" if revision else ""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{hub_id}{at} is neither a folder nor to be had from the Hugging Face hub or its "
            f"cache: {reason}"
        ) from None
    return Path(path)


def _at_home(spec: ModelSpec) -> ModelSpec:
    """Make a local folder absolute, also one with an ``@`` in its name."""
    for place in (f"{spec.weights}@{spec.revision}", spec.weights):
        folder = os.path.abspath(os.path.expanduser(place))
        if os.path.isdir(folder):
            kept = spec.revision if place == spec.weights else None
            return replace(spec, weights=folder, revision=kept)
    return spec


def _resolve_adapter(adapter: Adapter, base: Checkpoint) -> Adapter:
    folder = locate(adapter.path)
    files = read_adapter(folder)
    check_fits(files, base)
    return replace(adapter, path=str(folder), sha256=files.sha256)


def _check_quantization(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    if spec.quantization is None:
        return
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"quant={spec.quantization} needs bitsandbytes, which is not installed; without it "
            "dtype=bf16 works"
        )
    if "quantization_config" in checkpoint.config:
        raise ModelError(
            f"quant={spec.quantization} can't be applied to a checkpoint that is quantised already "
            f"({checkpoint.folder}); leave quant out"
        )
