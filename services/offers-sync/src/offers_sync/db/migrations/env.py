"""Runs the migrations on the connection that `schema_migration` hands over."""

from alembic import context

from offers_sync.db.models import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, compare_server_default=True
)
with context.begin_transaction():
    context.run_migrations()
