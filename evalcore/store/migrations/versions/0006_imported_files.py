"""Files that facts were taken from, and which facts.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of imported files, and the column that points to it."""
    op.create_table(
        "imported_file",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("imported_utc", sa.String(length=20), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256", "format", name="imported_file_once"),
    )
    op.add_column("generation", sa.Column("source_id", sa.Integer(), nullable=True))
    op.add_column("comparison", sa.Column("source_id", sa.Integer(), nullable=True))
