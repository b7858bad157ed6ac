"""Runs the migrations on the connection that `schema_migration` hands over."""

from alembic import context

from catalog_api.db.models import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
