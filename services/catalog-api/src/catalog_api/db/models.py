"""The tables, as the migrations leave them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from outbox import outbox_table

metadata = sa.MetaData()

products = sa.Table(
    "products",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    # Sorted by code point, whatever the locale of the database.
    sa.Column("name", sa.Text(collation="C"), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("registration", sa.Text, nullable=False, server_default="pending"),
    # The time of the event that decided it; null while pending, so that the next event decides whatever its clock says.
    sa.Column("registration_changed_at", sa.DateTime(timezone=True)),
    # The words of name and description, made by `domain.search`.
    sa.Column("search", pg.TSVECTOR, nullable=False),
    sa.CheckConstraint("registration IN ('pending', 'registered', 'failed')", name="products_registration"),
    sa.Index("products_by_creation", "created_at", "id"),
    sa.Index("products_by_name", "name", "id"),
    sa.Index("products_by_word", "search", postgresql_using="gin"),
    # Room for the update that stores the registration: on the same page it leaves the indexes alone.
    postgresql_with={"fillfactor": "85"},
)

product_offers = sa.Table(
    "product_offers",
    metadata,
    sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("observed_at", sa.DateTime(timezone=True)),
    sa.Column("best_price", sa.BigInteger),
    sa.Column("offers_count", sa.Integer, nullable=False, server_default="0"),
    # The answer's `items` as JSON text, sorted: written and read whole, never searched, so not jsonb.
    sa.Column("offers", pg.JSON, nullable=False, server_default="[]"),
    sa.Index("product_offers_by_best_price", "best_price", "product_id"),
    # Room for updates on the same page: the row is written again whenever the offers differ.
    postgresql_with={"fillfactor": "80"},
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("headers", pg.JSONB, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("idempotency_keys_by_age", "created_at"),
)

access_tokens = sa.Table(
    "access_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # SHA-256 of the secret part; the token itself is nowhere.
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    # To the minute.
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("octet_length(secret_hash) = 32", name="access_tokens_secret_hash"),
    sa.CheckConstraint(
        "cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'admin']", name="access_tokens_scopes"
    ),
)

outbox = outbox_table(metadata)
