"""Names and keys of what comes from elsewhere: the same content has the same key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b

from evalcore.hashing import content_hash
from evalcore.records import Example, Generation, ModelSpec, SamplingParams

__all__ = [
    "LONGEST_ID",
    "answer_key",
    "imported_answers",
    "imported_fingerprint",
    "imported_model",
    "short_id",
    "vote_id",
]

LONGEST_ID = 32
"""What the workspace has room for, of an example's id."""


def imported_model(name: str) -> ModelSpec:
    """Describe a model of which nothing is known but its name and what it said."""
    return ModelSpec(name=name, backend="imported", weights=name)


@lru_cache(maxsize=65536)
def imported_fingerprint(name: str) -> str:
    """Return the fingerprint of :func:`imported_model`."""
    return imported_model(name).fingerprint


def short_id(own_id: str) -> str:
    """Return a foreign id as it is, or its hash where there is no room for it."""
    return own_id if len(own_id) <= LONGEST_ID else content_hash(own_id)


def vote_id(*fields: str) -> str:
    """Hash what a vote says; 32 hexadecimal digits.

    Of a million votes each is hashed in about a microsecond, which canonical JSON would not allow.
    """
    text = "\x1f".join(fields).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).hexdigest()


def answer_key(example_id: str, texts: Sequence[str]) -> str:
    """Return the request key of an imported answer, the last of some turns; empty for none."""
    return content_hash(["imported", example_id, *texts]) if texts else ""


def imported_answers(
    example: Example, model: str, texts: Sequence[str], *, created_utc: str
) -> Iterator[Generation]:
    """Yield a model's answers, turn by turn."""
    before = None
    for turn in range(1, len(texts) + 1):
        key = answer_key(example.id, texts[:turn])
        yield Generation(
            example_id=example.id,
            fingerprint=imported_fingerprint(model),
            request_key=key,
            previous_key=before,
            params=SamplingParams(),
            text=texts[turn - 1],
            finish_reason="stop",
            prompt_tokens=0,
            completion_tokens=0,
            duration_s=0.0,
            created_utc=created_utc,
        )
        before = key
