"""Putting live mode together from running models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from arena.arena import Arena
from arena.live.admission import Admission
from arena.live.health import Health
from arena.live.lanes import make_lanes
from arena.live.making import LiveLoad, LiveMaker
from arena.live.moderation import Moderator
from arena.live.settings import LiveSettings
from arena.live.source import Drawing, LiveSource
from arena.masking import Masker, names_of
from arena.settings import ArenaSettings
from arena.sources import Verifier
from arena.telemetry import Telemetry
from evalcore.errors import InputError
from evalcore.protocols import Runner
from evalcore.records import ModelSpec
from evalcore.store import Store

__all__ = ["Live", "live_arena", "open_live"]


@dataclass(frozen=True, slots=True)
class Live:
    """What an arena with live battles is made of."""

    models: Sequence[ModelSpec]
    source: LiveSource
    maker: LiveMaker

    def connect(self, groups: Sequence[Sequence[Runner]]) -> None:
        """Let running models answer; until then visitors are asked to wait.

        Parameters
        ----------
        groups
            Runners of all models; those of one group share a base, as ``runners.open_together``
            yields them.
        """
        self.maker.connect(make_lanes(groups))


def open_live(
    models: Sequence[ModelSpec],
    drawing: Drawing,
    *,
    settings: LiveSettings,
    moderator: Moderator | None = None,
) -> Live:
    """Make source and maker; the models need not run yet.

    Parameters
    ----------
    models
        Resolved, at least two.
    drawing
        How pairs and prompts are drawn.
    settings
        Limits.
    moderator
        Looks at prompts and answers; None at nothing.

    Raises
    ------
    InputError
        For fewer than two models, or an unknown policy.
    """
    if len(models) < 2:
        raise InputError(f"live battles need at least two models; got {len(models)}")
    admission = Admission(moderator, most_characters=settings.most_prompt_characters)
    health = Health(patience_s=settings.silence_s)
    masker = Masker([name for spec in models for name in names_of(spec)])
    maker = LiveMaker(masker, settings=settings, admission=admission, health=health)
    source = LiveSource(models, drawing, health=health, admission=admission, abandon=maker.abandon)
    return Live(models, source, maker)


@contextmanager
def live_arena(
    store: Store, live: Live, *, settings: ArenaSettings, verifier: Verifier | None = None
) -> Iterator[Arena]:
    """Run an arena whose battles are answered live; what is under way at the end is resumed later.

    Parameters
    ----------
    store
        Where everything is kept; the models are remembered there too.
    live
        Source and maker.
    settings, verifier
        Of the arena.
    """
    for spec in live.models:
        store.add_model(spec)
    arena = Arena(store, live.source, settings=settings, maker=live.maker, verifier=verifier)
    _follow(arena.telemetry, live.maker)
    with closing(arena):
        live.maker.start(arena.desk)
        with closing(live.maker):
            yield arena


_FIGURES: dict[str, tuple[str, Callable[[LiveLoad], int]]] = {
    "running": ("Battles that are being answered.", lambda load: load.n_running),
    "waiting": ("Battles that wait for it.", lambda load: load.n_waiting),
    "answered": ("Turns answered so far.", lambda load: load.n_answered),
    "failed": ("Turns that models failed at so far.", lambda load: load.n_failed),
    "unmoderated": (
        "Texts that moderation could not look at so far. Alert on any increase.",
        lambda load: load.n_unmoderated,
    ),
}


def _follow(telemetry: Telemetry, maker: LiveMaker) -> None:
    for name, (text, read) in _FIGURES.items():
        telemetry.follow(f"live_{name}", text, partial(_read, maker, read))


def _read(maker: LiveMaker, read: Callable[[LiveLoad], int]) -> float:
    return read(maker.load())
