"""Other ways to put adapters together than side by side, and how a model string asks for them.

``hf:BASE?combine=ties&density=0.5+lora:A+lora:B``; :mod:`runners.hf.combining` computes them, and
:mod:`runners.hf.merging` adds the exact sum to the weights (``combine=merge``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import Combination, ModelSpec

__all__ = ["COMBINE_SETTINGS", "METHODS", "Method", "check_combination", "with_combination"]

COMBINE_SETTINGS: Final = ("combine", "density", "rank", "seed")
"""Settings of a model string that say how its adapters are put together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What a way to combine takes."""

    drops: bool = False
    """Takes a density: the share of values that it keeps."""
    at_random: bool = False
    """What it drops is drawn, hence it takes a seed."""
    whole: bool = False
    """Works on the updates s·B·A multiplied out, whose best approximation of a rank it keeps;
    otherwise on A and B by themselves."""


METHODS: Final[Mapping[str, Method]] = {
    "merge": Method(),
    "cat": Method(),
    "linear": Method(),
    "svd": Method(whole=True),
    "ties": Method(drops=True),
    "ties_svd": Method(drops=True, whole=True),
    "dare_linear": Method(drops=True, at_random=True),
    "dare_linear_svd": Method(drops=True, at_random=True, whole=True),
    "dare_ties": Method(drops=True, at_random=True),
    "dare_ties_svd": Method(drops=True, at_random=True, whole=True),
    "magnitude_prune": Method(drops=True),
    "magnitude_prune_svd": Method(drops=True, whole=True),
}
"""By the names that peft's ``add_weighted_adapter`` has for them, and ``merge``."""


def with_combination(spec: ModelSpec, settings: Mapping[str, str]) -> ModelSpec:
    """Put what a model string says of combining into a spec.

    Raises
    ------
    ModelError
        For an unknown method, or a setting that it lacks, doesn't take or can't use.
    """
    given = {name: settings[name] for name in COMBINE_SETTINGS if name in settings}
    if not given:
        return spec
    if "combine" not in given:
        name = next(iter(given))
        raise ModelError(f"{name} goes with combine=METHOD, one of {', '.join(METHODS)}")
    name = given["combine"]
    if name not in METHODS:
        raise ModelError(f"combine must be one of {', '.join(METHODS)}; got {name!r}")
    method = METHODS[name]
    taken = {"density": method.drops, "rank": method.whole, "seed": method.at_random}
    for setting, is_taken in taken.items():
        if setting in given and not is_taken:
            raise ModelError(f"combine={name} takes no {setting}; got {given[setting]!r}")
    seed = _whole(given, "seed", least=0)
    return replace(
        spec,
        combination=Combination(
            method=name,
            density=_density(given, name) if method.drops else None,
            rank=_whole(given, "rank", least=1),
            seed=(seed or 0) if method.at_random else None,
        ),
    )


def check_combination(spec: ModelSpec) -> None:
    """Check that there is something to combine.

    Raises
    ------
    ModelError
        For a combination without adapters.
    """
    if spec.combination is not None and not spec.adapters:
        raise ModelError(f"combine={spec.combination.method} needs adapters, such as +lora:FOLDER")


def _density(given: Mapping[str, str], method: str) -> float:
    if "density" not in given:
        raise ModelError(f"combine={method} needs density=, the share of values kept, in (0, 1]")
    try:
        density = float(given["density"])
    except ValueError:
        density = 0.0
    if not 0.0 < density <= 1.0:
        raise ModelError(f"density must be in (0, 1]; got {given['density']!r}")
    return density


def _whole(given: Mapping[str, str], setting: str, *, least: int) -> int | None:
    text = given.get(setting)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ModelError(f"{setting} must be a whole number from {least}; got {text!r}")
    return int(text)
