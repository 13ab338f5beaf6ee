"""From a spec as written to one that names exact bytes, with bad input found before any load."""

from __future__ import annotations

from dataclasses import replace

from evalcore.records import ModelSpec
from runners.backends import backend
from runners.modelstring import default_name
from runners.settings import check_settings

__all__ = ["resolve", "window"]


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
        model will run in and a name. A quantised model of transformers runs in bfloat16 unless said
        otherwise, any other as its checkpoint says.

    Raises
    ------
    ModelError
        For a missing or broken file, an adapter that does not fit, or a quantisation that this
        installation lacks.
    """
    check_settings(spec)
    spec = replace(spec, name=spec.name or default_name(spec))
    spec = backend(spec.backend).resolve(spec)
    check_settings(spec)
    return spec


def window(spec: ModelSpec) -> int | None:
    """Return how many tokens a resolved spec's model reads at once; None where no file says it."""
    return backend(spec.backend).window(spec)
