"""The arena: raters, studies, battles, votes; the first tables of it had no rows yet.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the arena's first tables."""
    for name in ("vote_event", "vote", "battle"):
        op.drop_table(name)
    op.create_table(
        "answer",
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(length=16), nullable=False),
        sa.Column("leaks", sa.JSON(), nullable=False),
        sa.Column("timings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("battle_id", "turn", "position"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("entry_hash", sa.String(length=32), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("entry_hash"),
    )
    op.create_table(
        "battle",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.String(length=32), nullable=False),
        sa.Column("open_for", sa.String(length=97), nullable=True),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=True),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("sides", sa.JSON(), nullable=False),
        sa.Column("side_seed", sa.BigInteger(), nullable=False),
        sa.Column("form", sa.JSON(), nullable=False),
        sa.Column("rated", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("timings", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("typed", sa.Boolean(), nullable=False),
        sa.Column("forgotten", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ready_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_for"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("battle_by_rater", "battle", ["rater"], unique=False)
    op.create_index("battle_by_study", "battle", ["study", "item"], unique=False)
    op.create_table(
        "consent",
        sa.Column("rater", sa.String(length=32), nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("rater", "study", "version"),
    )
    op.create_table(
        "exposure",
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.String(length=32), nullable=False),
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("rotation", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("study", "item", "rater"),
    )
    op.create_index("exposure_by_battle", "exposure", ["battle_id"], unique=False)
    op.create_index("exposure_by_rater", "exposure", ["study", "rater"], unique=False)
    op.create_index(
        "exposure_by_status", "exposure", ["study", "status", "item", "rotation"], unique=False
    )
    op.create_table(
        "ip_key",
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("period"),
    )
    op.create_table(
        "rater",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account"),
    )
    op.create_table(
        "study",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("study_hash", sa.String(length=32), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("decisions", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("export_hash", sa.String(length=64), nullable=True),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.Column("locked_utc", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "study_item",
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("expected", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("study", "item"),
    )
    op.create_table(
        "turn",
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("battle_id", "turn"),
    )
    op.create_table(
        "vote",
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("rater", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.String(length=16), nullable=True),
        sa.Column("ranking", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("ratings", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("visible_ms", sa.Integer(), nullable=True),
        sa.Column("elapsed_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("ip_hash", sa.String(length=32), nullable=True),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.Column("changed_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("battle_id"),
    )
    op.create_index("vote_by_rater", "vote", ["rater"], unique=False)
    op.create_index("vote_by_status", "vote", ["status"], unique=False)
    op.create_table(
        "vote_event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("vote_event_by_battle", "vote_event", ["battle_id"], unique=False)
