"""Run by Alembic within `catalog_api.db.migration`, which hands over the connection."""

from alembic import context

from catalog_api.db.models import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
