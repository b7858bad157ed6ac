"""Runs the migrations on the connection that `schema_migration` hands over."""

from alembic import context

from price_history.db.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
