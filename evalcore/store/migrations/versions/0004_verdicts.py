"""Verdicts of judges, one for each call.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of verdicts."""
    op.create_table(
        "verdict",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("rater", sa.Text(), nullable=False),
        sa.Column("rater_kind", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("request_key", sa.String(length=32), nullable=False),
        sa.Column("form", sa.String(length=16), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("model_a", sa.Text(), nullable=False),
        sa.Column("model_b", sa.Text(), nullable=True),
        sa.Column("answer_a", sa.String(length=32), nullable=False),
        sa.Column("answer_b", sa.String(length=32), nullable=False),
        sa.Column("swapped", sa.Boolean(), nullable=False),
        sa.Column("winner", sa.String(length=16), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("verdict_by_example", "verdict", ["example_id"], unique=False)
    op.create_index("verdict_by_rater", "verdict", ["rater", "prompt_version"], unique=False)
