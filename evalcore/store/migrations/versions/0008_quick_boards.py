"""Heads of runs, and scores kept in pieces on every database.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_DROP_PIECE = """DELETE FROM score_cache WHERE task_hash = {row}.task_hash
    AND metric = {row}.metric AND fingerprint = {row}.fingerprint;"""
_SQLITE = (
    "DROP TRIGGER score_updated",
    "DROP TRIGGER score_deleted",
    *(
        f"""CREATE TRIGGER score_{event.lower()} AFTER {event} ON score BEGIN
        {"".join(_DROP_PIECE.format(row=row) for row in rows)} END"""
        for event, rows in {
            "INSERT": ("NEW",),
            "UPDATE": ("OLD", "NEW"),
            "DELETE": ("OLD",),
        }.items()
    ),
    """CREATE TRIGGER eval_run_update AFTER UPDATE OF record ON eval_run
    WHEN NEW.head IS OLD.head AND NEW.record IS NOT OLD.record BEGIN
        UPDATE eval_run SET head = NULL WHERE run_id = NEW.run_id; END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION parity_drop_pieces() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM score_cache USING (SELECT DISTINCT task_hash, metric, fingerprint
        FROM changed) AS gone WHERE score_cache.task_hash = gone.task_hash
        AND score_cache.metric = gone.metric AND score_cache.fingerprint = gone.fingerprint;
    RETURN NULL; END $$""",
    *(
        f"""CREATE TRIGGER score_{event.lower()}_{rows.lower()} AFTER {event} ON score
        REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT
        EXECUTE FUNCTION parity_drop_pieces()"""
        for event, rows in (
            ("INSERT", "NEW"),
            ("UPDATE", "OLD"),
            ("UPDATE", "NEW"),
            ("DELETE", "OLD"),
        )
    ),
    """CREATE FUNCTION parity_drop_all_pieces() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM score_cache; RETURN NULL; END $$""",
    """CREATE TRIGGER score_truncate AFTER TRUNCATE ON score FOR EACH STATEMENT
    EXECUTE FUNCTION parity_drop_all_pieces()""",
    """CREATE FUNCTION parity_drop_head() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.head := NULL; RETURN NEW; END $$""",
    """CREATE TRIGGER eval_run_update BEFORE UPDATE OF record ON eval_run FOR EACH ROW
    WHEN (NEW.head IS NOT DISTINCT FROM OLD.head AND NEW.record::text <> OLD.record::text)
    EXECUTE FUNCTION parity_drop_head()""",
)


def upgrade() -> None:
    """Add the column, empty the pieces, and let triggers drop those that a change makes stale."""
    op.add_column("eval_run", sa.Column("head", sa.Text(), nullable=True))
    op.execute("DELETE FROM score_cache")
    op.drop_column("score_cache", "n_scores")
    op.execute("DELETE FROM change_count WHERE name = 'score'")
    kind = op.get_bind().dialect.name
    for statement in _POSTGRESQL if kind == "postgresql" else _SQLITE:
        op.execute(sa.text(statement.replace(":", "\\:")))
