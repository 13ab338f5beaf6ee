"""The energy that work took.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of work done before nobody knows."""
    op.add_column("work", sa.Column("joules", sa.Float(), nullable=True))
