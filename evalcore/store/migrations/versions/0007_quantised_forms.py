"""What quantisation labs found.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of reports."""
    op.create_table(
        "quant_report",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
