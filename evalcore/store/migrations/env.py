"""Alembic's entry: migrates over the connection that :mod:`evalcore.store.opening` hands in."""

from __future__ import annotations

from alembic import context

from evalcore.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    render_as_batch=True,  # SQLite can't alter most of a table in place
)
with context.begin_transaction():
    context.run_migrations()
