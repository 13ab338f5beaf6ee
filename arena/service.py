"""The web service: FastAPI app with everything that must hold, and the page mounted under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from arena.arena import Arena

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["create_app"]


def create_app(arena: Arena, *, page: Blocks | None = None) -> FastAPI:
    """Make the app; ``page`` is mounted at ``/`` behind the list of allowed routes."""
    raise NotImplementedError
