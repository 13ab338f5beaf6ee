"""Where a model's or an adapter's files are: a folder, or what the hub's cache has of a hub id."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import ModelSpec

__all__ = ["at_home", "locate"]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HUB_FILES: Final = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")


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


def at_home(spec: ModelSpec) -> ModelSpec:
    """Make a local folder absolute, also one with an ``@`` in its name."""
    for place in (f"{spec.weights}@{spec.revision}", spec.weights):
        folder = os.path.abspath(os.path.expanduser(place))
        if os.path.isdir(folder):
            kept = spec.revision if place == spec.weights else None
            return replace(spec, weights=folder, revision=kept)
    return spec


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
