"""Tables of the workspace. A change here comes with a migration; a test compares the two.

Facts (generation, loglikelihood, work, score, comparison) are appended and keyed by content, so
that work done once is never done twice. ``eval_run`` and ``quant_report`` are derived and may be
replaced. Tables of the arena are in :mod:`evalcore.store.arena_schema`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "SCHEMA_REVISION",
    "claim",
    "comparison",
    "eval_run",
    "example",
    "generation",
    "imported_file",
    "loglikelihood",
    "metadata",
    "model",
    "quant_report",
    "score",
    "task",
    "task_example",
    "work",
]

SCHEMA_REVISION = "0010"
"""Newest migration; kept here so that opening a workspace need not load Alembic."""

metadata = MetaData()

model = Table(
    "model",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
)

task = Table(
    "task",
    metadata,
    Column("task_hash", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
)

example = Table(
    "example",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("content", JSON, nullable=False),
)

task_example = Table(
    "task_example",
    metadata,
    Column("task_hash", String(32), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("example_id", String(32), nullable=False),
)

generation = Table(
    "generation",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("request_key", String(32), primary_key=True),
    Column("example_id", String(32), nullable=False),
    Column("params", JSON, nullable=False),
    Column("text", Text, nullable=False),
    Column("finish_reason", String(16), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Column("previous_key", String(32)),  # null = first turn of a conversation
    Column("first_token_logprobs", JSON(none_as_null=True)),
    Column("cost_usd", Float),
    Column("source_id", Integer),  # of the imported file; null = made here
    Index("generation_by_example", "example_id", "fingerprint"),
)

claim = Table(
    "claim",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("request_key", String(32), primary_key=True),
    Column("owner", String(32), nullable=False),
    Column("expires_utc", String(20), nullable=False),
)

loglikelihood = Table(
    "loglikelihood",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("request_key", String(32), primary_key=True),
    Column("example_id", String(32), nullable=False),
    Column("logprob", Float),  # null = not a number
    Column("is_greedy", Boolean, nullable=False),
    Column("n_tokens", Integer, nullable=False),
    Column("n_truncated", Integer, nullable=False),
    Column("created_utc", String(20), nullable=False),
)

work = Table(
    "work",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("fingerprint", String(32), nullable=False),
    Column("task_hash", String(32), nullable=False),
    Column("prefill_tokens", Integer, nullable=False),
    Column("prefill_s", Float, nullable=False),
    Column("decode_tokens", Integer, nullable=False),
    Column("decode_s", Float, nullable=False),
    Column("peak_memory_bytes", Integer, nullable=False),
    Column("size_on_disk_bytes", Integer, nullable=False),
    Column("joules", Float),  # null = the machine does not tell
    Column("created_utc", String(20), nullable=False),
    Index("work_by_run", "fingerprint", "task_hash"),
)

score = Table(
    "score",
    metadata,
    Column("task_hash", String(32), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("fingerprint", String(32), primary_key=True),
    Column("example_id", String(32), primary_key=True),
    Column("value", Float),  # null = could not be scored
    Column("weight", Float, nullable=False),
)

eval_run = Table(
    "eval_run",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("fingerprint", String(32), nullable=False),
    Column("task_hash", String(32), nullable=False),
    Column("task", Text, nullable=False),
    Column("record", JSON, nullable=False),
    Column("head", Text),  # of the record, see runs.py; null = to be made of it
    Column("created_utc", String(20), nullable=False),
    Index("eval_run_by_task", "task"),
)

quant_report = Table(
    "quant_report",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("record", JSON, nullable=False),
    Column("created_utc", String(20), nullable=False),
)

comparison = Table(
    "comparison",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("example_id", String(32), nullable=False),
    Column("model_a", Text, nullable=False),
    Column("model_b", Text, nullable=False),
    Column("winner", String(16), nullable=False),
    Column("rater", Text, nullable=False),
    Column("rater_kind", String(16), nullable=False),
    Column("swapped", Boolean, nullable=False),
    Column("created_utc", String(20), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("judge_prompt_version", Text),
    Column("cost_usd", Float),
    Column("source_id", Integer),  # of the imported file; null = made here
    Index("comparison_by_example", "example_id"),
)

imported_file = Table(
    "imported_file",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sha256", String(64), nullable=False),
    Column("format", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("imported_utc", String(20), nullable=False),
    Column("code_version", Text, nullable=False),
    UniqueConstraint("sha256", "format", name="imported_file_once"),
)
