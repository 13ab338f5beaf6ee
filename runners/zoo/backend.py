"""``zoo:NAME[?…]``: an entry of the catalogue, which is a model of another backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evalcore.records import ModelSpec
from runners.catalogue import catalogue_spec
from runners.hf.backend import BACKEND as HF
from runners.hf.backend import read_settings

__all__ = ["BACKEND"]


def _read(where: str, settings: Mapping[str, str]) -> ModelSpec:
    return read_settings(catalogue_spec(where), settings)


BACKEND = replace(HF, read=_read)
