"""How live battles are answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalcore.errors import InputError
from evalcore.records import SamplingParams

__all__ = ["LiveSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """Limits are the same for every model, so that none shows by its own."""

    params: SamplingParams = field(
        default_factory=lambda: SamplingParams(max_new_tokens=512, temperature=0.7)
    )
    """How all models decode; each battle and turn has a seed of its own."""
    most_running: int = 4
    """Battles that are answered at the same time, at least 1."""
    most_waiting: int = 64
    """Battles that wait for it; a visitor who comes later is asked to try again."""
    silence_s: float = 45.0
    """A model that says nothing for so long has failed."""
    answer_s: float = 180.0
    """A turn that is not answered by then has failed."""
    most_characters: int = 16_000
    """A longer answer is cut there."""
    most_prompt_characters: int = 8_000
    """Of one turn; a longer prompt is refused."""

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name in ("most_running", "most_characters", "most_prompt_characters"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.most_waiting < 0:
            raise InputError(f"most_waiting must be at least 0; got {self.most_waiting}")
        for name in ("silence_s", "answer_s"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be more than 0; got {getattr(self, name)}")
