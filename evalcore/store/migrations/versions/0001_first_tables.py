"""First tables.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "battle",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.Text(), nullable=False),
        sa.Column("study", sa.Text(), nullable=True),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("left_model", sa.String(length=32), nullable=False),
        sa.Column("right_model", sa.String(length=32), nullable=False),
        sa.Column("side_seed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("leaks", sa.JSON(), nullable=True),
        sa.Column("timings", sa.JSON(), nullable=True),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("battle_by_rater", "battle", ["rater"], unique=False)
    op.create_table(
        "comparison",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("model_a", sa.Text(), nullable=False),
        sa.Column("model_b", sa.Text(), nullable=False),
        sa.Column("winner", sa.String(length=16), nullable=False),
        sa.Column("rater", sa.Text(), nullable=False),
        sa.Column("rater_kind", sa.String(length=16), nullable=False),
        sa.Column("swapped", sa.Boolean(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("judge_prompt_version", sa.Text(), nullable=True),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("comparison_by_example", "comparison", ["example_id"], unique=False)
    op.create_table(
        "eval_run",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("eval_run_by_task", "eval_run", ["task"], unique=False)
    op.create_table(
        "example",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "generation",
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("request_key", sa.String(length=32), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(length=16), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "request_key"),
    )
    op.create_index("generation_by_example", "generation", ["example_id"], unique=False)
    op.create_table(
        "loglikelihood",
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("request_key", sa.String(length=32), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("logprob", sa.Float(), nullable=True),
        sa.Column("is_greedy", sa.Boolean(), nullable=False),
        sa.Column("n_tokens", sa.Integer(), nullable=False),
        sa.Column("n_truncated", sa.Integer(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "request_key"),
    )
    op.create_table(
        "model",
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    op.create_table(
        "score",
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("task_hash", "metric", "fingerprint", "example_id"),
    )
    op.create_table(
        "task",
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("task_hash"),
    )
    op.create_table(
        "task_example",
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("example_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("task_hash", "position"),
    )
    op.create_table(
        "vote",
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.String(length=16), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("visible_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("battle_id"),
    )
    op.create_table(
        "vote_event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("battle_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("vote_event_by_battle", "vote_event", ["battle_id"], unique=False)
    op.create_table(
        "work",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("task_hash", sa.String(length=32), nullable=False),
        sa.Column("prefill_tokens", sa.Integer(), nullable=False),
        sa.Column("prefill_s", sa.Float(), nullable=False),
        sa.Column("decode_tokens", sa.Integer(), nullable=False),
        sa.Column("decode_s", sa.Float(), nullable=False),
        sa.Column("peak_memory_bytes", sa.Integer(), nullable=False),
        sa.Column("size_on_disk_bytes", sa.Integer(), nullable=False),
        sa.Column("created_utc", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("work_by_run", "work", ["fingerprint", "task_hash"], unique=False)


def downgrade() -> None:
    """Drop all tables."""
    op.drop_index("work_by_run", table_name="work")
    op.drop_table("work")
    op.drop_index("vote_event_by_battle", table_name="vote_event")
    op.drop_table("vote_event")
    op.drop_table("vote")
    op.drop_table("task_example")
    op.drop_table("task")
    op.drop_table("score")
    op.drop_table("model")
    op.drop_table("loglikelihood")
    op.drop_index("generation_by_example", table_name="generation")
    op.drop_table("generation")
    op.drop_table("example")
    op.drop_index("eval_run_by_task", table_name="eval_run")
    op.drop_table("eval_run")
    op.drop_index("comparison_by_example", table_name="comparison")
    op.drop_table("comparison")
    op.drop_index("battle_by_rater", table_name="battle")
    op.drop_table("battle")
