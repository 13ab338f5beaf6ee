"""The table of verdicts. A change here comes with a migration; a test compares the two."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, Text

from evalcore.store.schema import metadata

__all__ = ["verdict"]

verdict = Table(
    "verdict",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rater", Text, nullable=False),
    Column("rater_kind", String(16), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("request_key", String(32), nullable=False),  # empty where no call was made
    Column("form", String(16), nullable=False),
    Column("prompt_version", Text, nullable=False),
    Column("example_id", String(32), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("model_a", Text, nullable=False),
    Column("model_b", Text),  # null = a single answer was judged
    Column("answer_a", String(32), nullable=False),
    Column("answer_b", String(32), nullable=False),
    Column("swapped", Boolean, nullable=False),
    Column("winner", String(16)),  # null = unscored, or a single answer
    Column("value", Float),  # null = unscored
    Column("label", Text, nullable=False),
    Column("parts", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Column("cost_usd", Float),
    Index("verdict_by_rater", "rater", "prompt_version"),
    Index("verdict_by_example", "example_id"),
)
