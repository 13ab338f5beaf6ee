"""What is known of a person, and that it can be forgotten."""

import asyncio
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from arena.arena import Arena, Sent
from arena.audit import first_broken_entry
from arena.privacy import AddressHasher
from arena.records import Ballot, Rater
from arena.refusals import Refused
from evalcore.store import Store
from evalcore.store.arena_schema import audit, ip_key, vote
from evalcore.store.schema import metadata

OpenArena = Callable[..., Arena]
ANN = Rater(id="ann" * 10)
DAY_MS = 24 * 3600 * 1000
WORDS = ("my own secret prompt", "a private comment", "192.0.2.77")


def dump(store: Store) -> str:
    """Return everything that the database holds."""
    with store.engine.connect() as connection:
        return repr([connection.execute(t.select()).all() for t in metadata.sorted_tables])


def vote_once(arena: Arena, rater: Rater = ANN) -> None:
    view = asyncio.run(arena.next(rater, prompt=WORDS[0], advance=True))
    ballot = Ballot(choice="left", comment=WORDS[1])
    sent = Sent(address=WORDS[2])
    asyncio.run(arena.vote(rater, view.token, ballot, reveal=True, sent=sent))


def hash_of(store: Store, hasher: AddressHasher, address: str, *, at_ms: int) -> str | None:
    with store.engine.begin() as connection:
        return hasher.hash(connection, address, now_ms=at_ms)


def test_address_is_stored_as_a_hash_alone(open_arena: OpenArena, arena_store: Store):
    vote_once(open_arena())
    assert WORDS[2] not in dump(arena_store)
    with arena_store.engine.connect() as connection:
        assert connection.execute(sa.select(vote.c.ip_hash)).scalar_one() is not None


def test_address_has_one_hash_a_day_on_all_replicas(arena_store: Store):
    hashers = AddressHasher(), AddressHasher()
    today = {hash_of(arena_store, h, "192.0.2.1", at_ms=DAY_MS) for h in hashers}
    other = hash_of(arena_store, hashers[0], "192.0.2.2", at_ms=DAY_MS)
    tomorrow = hash_of(arena_store, hashers[0], "192.0.2.1", at_ms=2 * DAY_MS)
    assert len(today) == 1
    assert len({*today, other, tomorrow}) == 3


def test_key_of_yesterday_is_gone(arena_store: Store):
    hasher = AddressHasher()
    for day in (1, 2, 3):
        hash_of(arena_store, hasher, "192.0.2.1", at_ms=day * DAY_MS)
    with arena_store.engine.connect() as connection:
        assert list(connection.scalars(sa.select(ip_key.c.period))) == ["1970-01-04"]


@pytest.mark.parametrize("votes", ["keep", "delete"])
def test_forgotten_rater_leaves_no_trace(open_arena: OpenArena, arena_store: Store, votes: str):
    arena = open_arena(consent_text="yes?")
    asyncio.run(arena.consent(ANN, arena.settings.consent_version))
    vote_once(arena)
    assert asyncio.run(arena.forget(ANN, votes=votes)) == 1
    left = dump(arena_store)
    assert ANN.id not in left
    assert not [word for word in WORDS if word in left]
    assert len(list(arena_store.comparisons())) == (1 if votes == "keep" else 0)


def test_forgetting_one_leaves_others_as_they_are(open_arena: OpenArena, arena_store: Store):
    arena, other = open_arena(), Rater(id="bob" * 10)
    for rater in (ANN, other):
        vote_once(arena, rater)
    asyncio.run(arena.forget(ANN, votes="delete"))
    left = dump(arena_store)
    assert other.id in left
    assert all(word in left for word in WORDS[:2])


def test_forgotten_rater_has_to_agree_again(open_arena: OpenArena):
    arena = open_arena(consent_text="yes?")
    asyncio.run(arena.consent(ANN, arena.settings.consent_version))
    asyncio.run(arena.forget(ANN, votes="keep"))
    with pytest.raises(Refused, match="agree to the terms"):
        asyncio.run(arena.next(ANN))


def test_audit_log_says_that_somebody_was_forgotten_not_who(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena()
    vote_once(arena)
    asyncio.run(arena.forget(ANN, votes="keep"))
    with arena_store.engine.connect() as connection:
        (entry,) = connection.execute(audit.select()).all()
        assert first_broken_entry(connection) is None
    assert (entry.action, entry.detail["n_votes"]) == ("forget", 1)
    assert ANN.id not in repr(entry)


def test_words_older_than_the_retention_are_forgotten(open_arena: OpenArena, arena_store: Store):
    now = [DAY_MS]
    arena = open_arena(retention_days=30, clock=lambda: now[0])
    vote_once(arena)
    now[0] += 29 * DAY_MS
    asyncio.run(arena.tidy())
    assert WORDS[1] in dump(arena_store)
    now[0] += 2 * DAY_MS
    asyncio.run(arena.tidy())
    assert not [word for word in WORDS if word in dump(arena_store)]
    assert len(list(arena_store.comparisons())) == 1
