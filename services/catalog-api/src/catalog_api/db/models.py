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

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    # Null while it is enabled: `switched_off` by its owner, or `gone` when the endpoint answered 410.
    sa.Column("disabled_because", sa.Text),
    # Null while the last attempt was a success.
    sa.Column("failing_since", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("disabled_because IN ('switched_off', 'gone')", name="webhooks_disabled_because"),
)

webhook_secrets = sa.Table(
    "webhook_secrets",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    # `whsec_…`, sealed where there are keys to seal with.
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("encrypted", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Until when it signs beside its successor; null for the newest.
    sa.Column("ends_at", sa.DateTime(timezone=True)),
    sa.Index("webhook_secrets_by_webhook", "webhook_id", "id"),
)

webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    # No foreign key: deleting a webhook takes no longer for all that it was sent, and whoever stores a delivery in the
    # same instant does not fail. What is left over is never due, and goes when deliveries are pruned.
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    # The message's, which is the header `webhook-id`.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    # Since it was stored, or was last asked to be delivered again.
    sa.Column("failures", sa.SmallInteger, nullable=False, server_default="0"),
    # When it is to be tried; while somebody tries it, when they are taken to be dead.
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Grows when it is claimed, or asked to be delivered again: only the last claim may say what became of it.
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="webhook_deliveries_state"),
    sa.Index("webhook_deliveries_by_due", "webhook_id", "due_at", postgresql_where=sa.text("state = 'pending'")),
    sa.Index("webhook_deliveries_by_creation", "webhook_id", "created_at", "id"),
    sa.Index("webhook_deliveries_by_state", "webhook_id", "state", "created_at", "id"),
    sa.Index("webhook_deliveries_by_age", "created_at"),
)

webhook_attempts = sa.Table(
    "webhook_attempts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("delivery_id", sa.Uuid, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    # Of the answer; or else why there was none.
    sa.Column("status", sa.SmallInteger),
    sa.Column("error", sa.Text),
    # Its first bytes.
    sa.Column("answer", sa.Text),
    sa.CheckConstraint("(status IS NULL) <> (error IS NULL)", name="webhook_attempts_outcome"),
    sa.ForeignKeyConstraint(
        ["webhook_id", "delivery_id"],
        ["webhook_deliveries.webhook_id", "webhook_deliveries.id"],
        name="webhook_attempts_delivery",
        ondelete="CASCADE",
    ),
    sa.Index("webhook_attempts_by_delivery", "webhook_id", "delivery_id", "id"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text),
    # Null for all products.
    sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE")),
    # A webhook that alerts go to is not deleted.
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id"), nullable=False),
    # As in the API.
    sa.Column("condition", pg.JSON, nullable=False),
    sa.Column("cooldown_seconds", sa.Integer, nullable=False),
    sa.Column("hysteresis_percent", sa.Double, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("firings_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_fired_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # When it was made, or last came to watch something else: what happened until then is nothing to it.
    sa.Column("watching_since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("alerts_by_creation", "created_at", "id"),
    sa.Index("alerts_by_product", "product_id", "created_at", "id"),
    sa.Index("alerts_by_webhook", "webhook_id"),
)

alert_states = sa.Table(
    "alert_states",
    metadata,
    sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
    # When the fact that made it so happened: what is not later was seen before.
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("armed", sa.Boolean, nullable=False),
    sa.Column("fired_at", sa.DateTime(timezone=True)),
    sa.Column("fired_price", sa.BigInteger),
    # Packed: up to 101 pairs, written whole with each change of the price.
    sa.Column("extremes", sa.LargeBinary, nullable=False),
    sa.Index("alert_states_by_product", "product_id"),
    # Room for updates on the same page.
    postgresql_with={"fillfactor": "80"},
)

alert_firings = sa.Table(
    "alert_firings",
    metadata,
    # The id of the webhook's message, too. Made of what fired, so that the same is not told twice.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    # No foreign key: what was told stays when the product goes.
    sa.Column("product_id", sa.Uuid, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("reference", sa.BigInteger),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("alert_firings_by_alert", "alert_id", "at", "id"),
    sa.Index("alert_firings_by_age", "created_at"),
)

outbox = outbox_table(metadata)
