"""The outcomes of a product's registrations have times that grow, whatever the clock does."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("outcome_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("products", "outcome_at")
