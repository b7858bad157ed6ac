"""A body that is the one seen before is not read again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("polled_products", sa.Column("body_digest", postgresql.BYTEA))


def downgrade() -> None:
    op.drop_column("polled_products", "body_digest")
