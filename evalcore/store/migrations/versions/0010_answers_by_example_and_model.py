"""Answers to an example found by model, too, without a look at all answers of either.

Revision ID: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index one of both."""
    op.drop_index("generation_by_example", table_name="generation")
    op.create_index(
        "generation_by_example", "generation", ["example_id", "fingerprint"], unique=False
    )
