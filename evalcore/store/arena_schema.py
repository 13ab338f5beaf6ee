"""Tables of the arena. A change here comes with a migration; a test compares the two.

The database owns the battle: sides, token, timings and status are in its row from the first moment.
``vote_event`` and ``audit`` are appended, never changed. ``ip_key`` holds what is thrown away.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from evalcore.store.schema import metadata

__all__ = [
    "answer",
    "audit",
    "battle",
    "consent",
    "exposure",
    "ip_key",
    "rater",
    "study",
    "study_item",
    "turn",
    "vote",
    "vote_event",
]

rater = Table(
    "rater",
    metadata,
    Column("id", String(32), primary_key=True),  # the pseudonym; random
    Column("kind", String(16), nullable=False),  # visitor, account, link
    Column("account", Text, unique=True),  # null for visitors
    Column("created_utc", String(20), nullable=False),
)

consent = Table(
    "consent",
    metadata,
    Column("rater", String(32), primary_key=True),
    Column("study", String(64), primary_key=True),  # empty = live battles
    Column("version", String(64), primary_key=True),
    Column("created_utc", String(20), nullable=False),
)

study = Table(
    "study",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("study_hash", String(32), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("status", String(16), nullable=False),  # open, locked
    Column("stop_reason", Text),
    Column("decisions", JSON(none_as_null=True)),  # of the anytime-valid rule, by pair
    Column("export_hash", String(64)),
    Column("created_utc", String(20), nullable=False),
    Column("locked_utc", String(20)),
)

study_item = Table(
    "study_item",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("item", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("kind", String(16), nullable=False),  # main, gold, attention, training
    Column("example_id", String(32), nullable=False),
    Column("answers", JSON, nullable=False),  # model, name and turns of each
    Column("expected", JSON(none_as_null=True)),  # what a gold item or check wants
)

exposure = Table(
    "exposure",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("item", String(64), primary_key=True),
    Column("rater", String(32), primary_key=True),
    Column("battle_id", String(32), nullable=False),
    Column("kind", String(16), nullable=False),  # of the item
    Column("rotation", Integer, nullable=False),  # how the answers were turned on the page
    Column("status", String(16), nullable=False),  # open, done, released
    Column("created_utc", String(20), nullable=False),
    Index("exposure_by_rater", "study", "rater"),
    Index("exposure_by_status", "study", "status", "item", "rotation"),
    Index("exposure_by_battle", "battle_id"),
)

battle = Table(
    "battle",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("rater", String(32), nullable=False),
    Column("open_for", String(97), unique=True),  # rater and study while open: one at a time
    Column("study", String(64), nullable=False),  # empty = live
    Column("item", String(64)),
    Column("example_id", String(32), nullable=False),
    Column("models", JSON, nullable=False),  # in the source's order
    Column("names", JSON, nullable=False),  # for the reveal, same order
    Column("sides", JSON, nullable=False),  # sides[position shown] = place in models
    Column("side_seed", BigInteger, nullable=False),
    Column("form", JSON, nullable=False),  # what is asked
    Column("rated", Boolean, nullable=False),  # false for training, gold and attention items
    Column("status", String(16), nullable=False),
    Column("category", Text),
    Column("note", Text, nullable=False),  # told with the reveal
    Column("flags", JSON, nullable=False),  # leaks, moderation
    Column("timings", JSON, nullable=False),
    Column("reason", Text),  # of a skip, an expiry or a void
    Column("typed", Boolean, nullable=False),  # a person wrote the prompt
    Column("forgotten", Boolean, nullable=False),  # what persons wrote was deleted
    Column("created_ms", BigInteger, nullable=False),
    Column("ready_ms", BigInteger),
    Column("expires_ms", BigInteger, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Index("battle_by_rater", "rater"),
    Index("battle_by_study", "study", "item"),
)

turn = Table(
    "turn",
    metadata,
    Column("battle_id", String(32), primary_key=True),
    Column("turn", Integer, primary_key=True),
    Column("prompt", JSON, nullable=False),  # messages of the turn
    Column("created_utc", String(20), nullable=False),
)

answer = Table(
    "answer",
    metadata,
    Column("battle_id", String(32), primary_key=True),
    Column("turn", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),  # as shown, 0 = left
    Column("text", Text, nullable=False),
    Column("finish_reason", String(16), nullable=False),
    Column("leaks", JSON, nullable=False),  # what masking found
    Column("timings", JSON, nullable=False),
)

vote = Table(
    "vote",
    metadata,
    Column("battle_id", String(32), primary_key=True),  # one vote a battle, whatever happens
    Column("rater", String(32), nullable=False),
    Column("choice", String(16)),  # null where the form asks for a ranking
    Column("ranking", JSON(none_as_null=True)),  # rank by position shown, 1 is best
    Column("ratings", JSON, nullable=False),  # scale: value by position shown
    Column("reasons", JSON, nullable=False),
    Column("comment", Text, nullable=False),
    Column("visible_ms", Integer),  # as the browser says
    Column("elapsed_ms", Integer),  # as the server knows: ready to vote
    Column("status", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("receipt", String(32), nullable=False),
    Column("sealed", Boolean, nullable=False),  # names were told
    Column("ip_hash", String(32)),
    Column("created_utc", String(20), nullable=False),
    Column("changed_utc", String(20), nullable=False),
    Index("vote_by_rater", "rater"),
    Index("vote_by_status", "status"),
)

vote_event = Table(
    "vote_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("battle_id", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", Text, nullable=False),  # rater, system or an administrator's account
    Column("detail", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Index("vote_event_by_battle", "battle_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("entry_hash", String(32), nullable=False, unique=True),  # covers the entry before
    Column("created_utc", String(20), nullable=False),
)

ip_key = Table(
    "ip_key",
    metadata,
    Column("period", String(10), primary_key=True),  # day
    Column("key", String(64), nullable=False),
)
