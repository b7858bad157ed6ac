"""The tables."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from outbox import outbox_table

BUCKETS: Final = 4096
BUCKET_STEP: Final = 2531
"""Odd, and about 4096 divided by the golden ratio, so that consecutive products land far apart and spread evenly."""

metadata: Final = sa.MetaData()

bucket_numbers: Final = sa.Sequence("bucket_numbers", metadata=metadata)

products: Final = sa.Table(
    "products",
    metadata,
    sa.Column("product_id", UUID, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # Grows with each claim; an outcome counts only for the claim that it belongs to.
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # Of a pending product: when its next try is due, and while one is under way, when its lease ends.
    sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
    sa.Column("reason", sa.Text),
    # The time of the last event about its registration.
    sa.Column("outcome_at", sa.DateTime(timezone=True)),
    # When a 404 last made a registered product pending again.
    sa.Column("renewed_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("status IN ('pending', 'registered', 'failed', 'deleted')", name="products_status"),
    sa.CheckConstraint("status <> 'pending' OR next_attempt_at IS NOT NULL", name="products_pending_is_due"),
    sa.Index("products_due", "next_attempt_at", postgresql_where=sa.text("status = 'pending'")),
)

# Apart from `products`, so that storing a changed list writes 90 bytes and no index.
polled_products: Final = sa.Table(
    "polled_products",
    metadata,
    sa.Column("product_id", UUID, primary_key=True),
    sa.Column(
        "bucket",
        sa.Integer,
        nullable=False,
        server_default=sa.text(f"(nextval('bucket_numbers') * {BUCKET_STEP}) % {BUCKETS}"),
    ),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    # Of the list last published; NULL when nothing was, or when what was published is in doubt.
    sa.Column("digest", BYTEA),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("observed_at", sa.DateTime(timezone=True)),
    # Of the very bytes in which that list came; NULL when some of its rows were bad. Means nothing without the digest.
    sa.Column("body_digest", BYTEA),
    sa.Index("polled_products_bucket", "bucket", postgresql_where=sa.text("active")),
    postgresql_with={"fillfactor": "70"},
)

# Small and rewritten all the time: no index on due_at, so that every update stays within its page (HOT).
buckets: Final = sa.Table(
    "buckets",
    metadata,
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("leased_until", sa.DateTime(timezone=True)),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint(f"bucket BETWEEN 0 AND {BUCKETS - 1}", name="buckets_range"),
    postgresql_with={"fillfactor": "40"},
)

access_tokens: Final = sa.Table(
    "access_tokens",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("encrypted", sa.Boolean, nullable=False, server_default=sa.false()),
)

outbox: Final = outbox_table(metadata)
