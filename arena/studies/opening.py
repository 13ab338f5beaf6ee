"""A study's arena, from its file: the same for the command, tests and replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from arena.arena import Arena
from arena.records import RaterOrigin
from arena.settings import ArenaSettings, Question
from arena.studies.definition import StudyDefinition
from arena.studies.registry import register_study
from arena.studies.source import StudySource
from evalcore.errors import InputError
from evalcore.store import Store

__all__ = ["answers_shown", "study_arena"]

_ADMITS: dict[str, RaterOrigin] = {"open": "visitor", "link": "link", "account": "account"}


@contextmanager
def study_arena(
    store: Store, path: Path, *, settings: ArenaSettings
) -> Iterator[tuple[Arena, StudyDefinition]]:
    """Open the arena of a study; the study's file decides title, consent and who is let in.

    Parameters
    ----------
    store
        The workspace; the study is put into it, or goes on.
    path
        The study's file.
    settings
        Everything else.

    Raises
    ------
    InputError
        For a file that can't be used, and accounts without a users file or outside provider.
    """
    registered = register_study(path, store)
    definition = registered.definition
    if definition.join == "account" and settings.users_file is None and not settings.oauth_file:
        raise InputError(f"{path}: join: account needs a users file")
    source = StudySource(registered, variants=store.models(), clock=settings.clock)
    arena = Arena(store, source, settings=_settings_of(definition, settings))
    try:
        yield arena, definition
    finally:
        arena.close()


def answers_shown(definition: StudyDefinition) -> int:
    """Return how many answers stand side by side."""
    return {"pairwise": 2, "ranking": len(definition.models), "rating": 1}[definition.kind]


def _settings_of(definition: StudyDefinition, settings: ArenaSettings) -> ArenaSettings:
    return replace(
        settings,
        title=definition.heading,
        consent_text=definition.consent or settings.consent_text,
        instructions=definition.instructions,
        questions={
            scale.name: Question(
                text=scale.question or scale.name,
                low_text=scale.low_text,
                high_text=scale.high_text,
            )
            for scale in definition.scales
        },
        admits=(_ADMITS[definition.join],),
    )
