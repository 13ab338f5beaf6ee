"""What is let in: prompts of a fair length that moderation has nothing against."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

from arena.live.moderation import Moderator
from arena.refusals import Refused
from evalcore.hashing import content_hash

__all__ = ["Admission"]

_LOG = logging.getLogger(__name__)
_MOST_REMEMBERED = 10_000


class Admission:
    """Checks texts, and remembers which ones could not be checked.

    Parameters
    ----------
    moderator
        None lets everything through.
    most_characters
        Of a prompt.
    """

    def __init__(self, moderator: Moderator | None, *, most_characters: int) -> None:
        self._moderator = moderator
        self._most_characters = most_characters
        self._unchecked: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self.n_outages = 0
        """Checks that could not be done so far."""

    def check_prompt(self, prompt: str) -> None:
        """Let a prompt through or refuse it; during an outage it is let through and remembered.

        Raises
        ------
        Refused
            ``too_large`` or ``prompt_refused``.
        """
        if len(prompt) > self._most_characters:
            raise Refused("too_large", f"A prompt has at most {self._most_characters} characters.")
        if self.why_not(prompt) is not None:
            raise Refused("prompt_refused")

    def why_not(self, text: str) -> str | None:
        """Return why a text can't be used; None if it can, or if nobody can tell."""
        if self._moderator is None:
            return None
        try:
            return self._moderator.refuses(text)
        except Exception as error:
            # A moderator fails as it likes; whatever it is, nobody is sent away for it.
            _LOG.warning("moderation is not available: %s", error)
            self._remember(text)
            return None

    def was_unchecked(self, text: str) -> bool:
        """Say whether a text was let through unseen, as far as is remembered."""
        return content_hash(text) in self._unchecked

    def _remember(self, text: str) -> None:
        with self._lock:
            self.n_outages += 1
            self._unchecked[content_hash(text)] = None
            while len(self._unchecked) > _MOST_REMEMBERED:
                self._unchecked.popitem(last=False)
