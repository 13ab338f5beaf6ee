"""Tables of the leaderboard. A change here comes with a migration; a test compares the two.

``snapshot`` and ``model_event`` are appended, never changed; triggers refuse anything else.
``vote_cache`` and ``score_cache`` are derived: what other tables say, in a form that is quick to
read. Triggers on those tables delete what a change makes stale.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from evalcore.store.schema import metadata

__all__ = ["change_count", "model_event", "score_cache", "snapshot", "vote_cache"]

snapshot = Table(
    "snapshot",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content_hash", String(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("content", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
)

model_event = Table(
    "model_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("fingerprint", String(32), nullable=False),
    Column("kind", String(16), nullable=False),  # deprecated, restored
    Column("reason", Text, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Index("model_event_by_model", "fingerprint"),
)

change_count = Table(
    "change_count",
    metadata,
    Column("name", String(16), primary_key=True),  # the table that was updated or deleted from
    Column("n", BigInteger, nullable=False),
)

vote_cache = Table(
    "vote_cache",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_row", BigInteger, nullable=False),  # the comparisons up to it are in the content
    Column("last_id", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),  # an Arrow stream
)

score_cache = Table(
    "score_cache",
    metadata,
    Column("task_hash", String(32), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("fingerprint", String(32), primary_key=True),
    Column("content", LargeBinary, nullable=False),  # values, then weights, in the task's order
)
