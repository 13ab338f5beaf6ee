"""Snapshots of the leaderboard, models' retirement, and what is read quickly.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_VOTE = "example_id, model_a, model_b, winner, rater, rater_kind, swapped, created_utc"
_SQLITE = (
    # A cache is dropped by what changes the rows that it holds; rows that are added come on top.
    *(
        f"""CREATE TRIGGER comparison_{what} AFTER {event} ON comparison BEGIN
            UPDATE change_count SET n = n + 1 WHERE name = 'comparison';
            DELETE FROM vote_cache WHERE last_row >= OLD.rowid; END"""  # noqa: S608
        for what, event in (("updated", f"UPDATE OF {_VOTE}"), ("deleted", "DELETE"))
    ),
    *(
        f"""CREATE TRIGGER score_{what} AFTER {event} ON score BEGIN
            UPDATE change_count SET n = n + 1 WHERE name = 'score';
            DELETE FROM score_cache WHERE task_hash = OLD.task_hash AND metric = OLD.metric
            AND fingerprint = OLD.fingerprint; END"""  # noqa: S608
        for what, event in (("updated", "UPDATE"), ("deleted", "DELETE"))
    ),
    *(
        f"""CREATE TRIGGER {table}_{event.lower()} BEFORE {event} ON {table} BEGIN
            SELECT RAISE(ABORT, '{table} is never rewritten'); END"""
        for table in ("snapshot", "model_event")
        for event in ("UPDATE", "DELETE")
    ),
)
_POSTGRESQL = (
    """CREATE FUNCTION parity_never_rewritten() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% is never rewritten', TG_TABLE_NAME; END $$""",
    *(
        f"""CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION parity_never_rewritten()"""
        for table in ("snapshot", "model_event")
    ),
)


def upgrade() -> None:
    """Add the tables, and the triggers that keep them true."""
    op.create_table(
        "snapshot",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.String(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "model_event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("model_event_by_model", "model_event", ["fingerprint"], unique=False)
    counts = op.create_table(
        "change_count",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.bulk_insert(counts, [{"name": name, "n": 0} for name in ("comparison", "score")])
    op.create_table(
        "vote_cache",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_row", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "score_cache",
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("n_scores", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("task_hash", "metric", "fingerprint"),
    )
    kind = op.get_bind().dialect.name
    for statement in _POSTGRESQL if kind == "postgresql" else _SQLITE:
        op.execute(sa.text(statement.replace(":", "\\:")))
