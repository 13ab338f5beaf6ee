"""Putting live mode together from running models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arena.live.admission import Admission
from arena.live.health import Health
from arena.live.lanes import make_lanes
from arena.live.making import LiveMaker
from arena.live.moderation import Moderator
from arena.live.settings import LiveSettings
from arena.live.source import Drawing, LiveSource
from arena.masking import Masker, names_of
from evalcore.errors import InputError
from evalcore.protocols import Runner

__all__ = ["Live", "open_live"]


@dataclass(frozen=True, slots=True)
class Live:
    """What an arena with live battles is made of."""

    source: LiveSource
    maker: LiveMaker
    """To be started with the arena, and closed before the models are."""


def open_live(
    groups: Sequence[Sequence[Runner]],
    drawing: Drawing,
    *,
    settings: LiveSettings,
    moderator: Moderator | None = None,
) -> Live:
    """Make source and maker.

    Parameters
    ----------
    groups
        Running models; those of one group share a base (:func:`runners.open_together`).
    drawing
        What is drawn; its models are those of the groups.
    settings
        Limits.
    moderator
        Looks at prompts and answers; None at nothing.

    Raises
    ------
    InputError
        For fewer than two models, or an unknown policy.
    """
    if len(drawing.models) < 2:
        raise InputError(f"live battles need at least two models; got {len(drawing.models)}")
    lanes = make_lanes(groups)
    admission = Admission(moderator, most_characters=settings.most_prompt_characters)
    health = Health(lanes, patience_s=settings.silence_s)
    names = [name for spec in drawing.models for name in names_of(spec)]
    maker = LiveMaker(
        lanes, masker=Masker(names), settings=settings, admission=admission, health=health
    )
    source = LiveSource(drawing, health=health, admission=admission, abandon=maker.abandon)
    return Live(source, maker)
