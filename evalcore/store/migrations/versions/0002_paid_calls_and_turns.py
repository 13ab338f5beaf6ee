"""Answers know their turn, their first token's alternatives and their cost; claims on paid calls.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table of claims."""
    op.add_column("generation", sa.Column("previous_key", sa.String(length=32), nullable=True))
    op.add_column("generation", sa.Column("first_token_logprobs", sa.JSON(), nullable=True))
    op.add_column("generation", sa.Column("cost_usd", sa.Float(), nullable=True))
    op.create_table(
        "claim",
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("request_key", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("expires_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "request_key"),
    )
