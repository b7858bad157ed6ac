"""Products, their polling, access tokens, outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE bucket_numbers")
    op.create_table(
        "products",
        sa.Column("product_id", postgresql.UUID, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text),
        sa.Column("renewed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('pending', 'registered', 'failed', 'deleted')", name="products_status"),
        sa.CheckConstraint("status <> 'pending' OR next_attempt_at IS NOT NULL", name="products_pending_is_due"),
    )
    op.create_index("products_due", "products", ["next_attempt_at"], postgresql_where=sa.text("status = 'pending'"))
    op.create_table(
        "polled_products",
        sa.Column("product_id", postgresql.UUID, primary_key=True),
        sa.Column(
            "bucket",
            sa.Integer,
            nullable=False,
            server_default=sa.text("(nextval('bucket_numbers') * 2531) % 4096"),
        ),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("digest", postgresql.BYTEA),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("observed_at", sa.DateTime(timezone=True)),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("polled_products_bucket", "polled_products", ["bucket"], postgresql_where=sa.text("active"))
    op.create_table(
        "buckets",
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint("bucket BETWEEN 0 AND 4095", name="buckets_range"),
        postgresql_with={"fillfactor": "40"},
    )
    op.create_table(
        "access_tokens",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def downgrade() -> None:
    for table in ("outbox", "access_tokens", "buckets", "polled_products", "products"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE bucket_numbers")
