"""Prompts and answers that an arena does not want, as its owner defines them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol

import httpx

from evalcore.errors import InputError

__all__ = ["EndpointModerator", "Moderator", "WordList", "open_moderator"]

_TIMEOUT_S = 5.0


class Moderator(Protocol):
    """Judges texts; called from threads, for the prompt and for each answer."""

    def refuses(self, text: str) -> str | None:
        """Return why a text can't be used, None if it can; raising is an outage.

        After an outage the text is used, and its battle is marked as not moderated.
        """


class WordList:
    """Refuses texts that hold one of some words or phrases.

    Parameters
    ----------
    words
        Whole words, upper or lower case alike.
    """

    def __init__(self, words: list[str]) -> None:
        ends = [
            (r"\b" if word[:1].isalnum() else "", r"\b" if word[-1:].isalnum() else "")
            for word in words
        ]
        parts = [a + re.escape(word) + b for word, (a, b) in zip(words, ends, strict=True)]
        self._pattern = re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)

    def refuses(self, text: str) -> str | None:
        """Return the first word that is on the list."""
        found = self._pattern.search(text)
        return None if found is None else f"on the list of words: {found.group()}"


class EndpointModerator:
    """Asks a service that speaks the protocol of OpenAI's ``/moderations``.

    Parameters
    ----------
    url
        Of the endpoint.
    key
        Sent as a bearer token; empty for none.
    """

    def __init__(self, url: str, *, key: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._url = url
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S)

    def refuses(self, text: str) -> str | None:
        """Return the categories that the service flags a text for."""
        answer = self._client.post(self._url, json={"input": text})
        answer.raise_for_status()
        results: list[dict[str, Any]] = answer.json()["results"]
        flagged = [result for result in results if result["flagged"]]
        if not flagged:
            return None
        names = sorted({n for r in flagged for n, on in r.get("categories", {}).items() if on})
        return ", ".join(names) or "flagged"

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()


def open_moderator(place: str) -> Moderator:
    """Return a moderator: a URL of an endpoint, or a text file with a word or phrase a line.

    The endpoint's key is taken from ``PARITY_MODERATION_KEY``.

    Raises
    ------
    InputError
        If the file can't be read or holds nothing.
    """
    if place.startswith(("http://", "https://")):
        return EndpointModerator(place, key=os.environ.get("PARITY_MODERATION_KEY", ""))
    try:
        lines = Path(place).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"moderation file {place} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"moderation file {place} is not UTF-8 text ({error.reason})") from error
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not words:
        raise InputError(f"moderation file {place} holds no word")
    return WordList(words)
