"""Products, their offers, answers under idempotency keys, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else sa.func.now()
    )


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("registration", sa.Text, nullable=False, server_default="pending"),
        _time("registration_changed_at", nullable=True),
        sa.Column("search", pg.TSVECTOR, nullable=False),
        sa.CheckConstraint("registration IN ('pending', 'registered', 'failed')", name="products_registration"),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index("products_by_creation", "products", ["created_at", "id"])
    op.create_index("products_by_name", "products", ["name", "id"])
    op.create_index("products_by_word", "products", ["search"], postgresql_using="gin")
    op.create_table(
        "product_offers",
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
        _time("observed_at", nullable=True),
        sa.Column("best_price", sa.BigInteger),
        sa.Column("offers_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("offers", pg.JSON, nullable=False, server_default="[]"),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("product_offers_by_best_price", "product_offers", ["best_price", "product_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("headers", pg.JSONB, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _time("created_at"),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        _time("created_at"),
    )


def downgrade() -> None:
    for table in ("outbox", "idempotency_keys", "product_offers", "products"):
        op.drop_table(table)
