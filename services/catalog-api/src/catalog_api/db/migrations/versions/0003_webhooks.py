"""Webhooks: endpoints of other systems, their secrets, what they are to be told, and what became of that."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("disabled_because", sa.Text),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("disabled_because IN ('switched_off', 'gone')", name="webhooks_disabled_because"),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("encrypted", sa.Boolean, nullable=False),
        _time("created_at"),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
    )
    op.create_index("webhook_secrets_by_webhook", "webhook_secrets", ["webhook_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("failures", sa.SmallInteger, nullable=False, server_default="0"),
        _time("due_at"),
        sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
        _time("created_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="webhook_deliveries_state"),
    )
    op.create_index(
        "webhook_deliveries_by_due",
        "webhook_deliveries",
        ["webhook_id", "due_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("webhook_deliveries_by_creation", "webhook_deliveries", ["webhook_id", "created_at", "id"])
    op.create_index("webhook_deliveries_by_state", "webhook_deliveries", ["webhook_id", "state", "created_at", "id"])
    op.create_index("webhook_deliveries_by_age", "webhook_deliveries", ["created_at"])
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("webhook_id", sa.Uuid, nullable=False),
        sa.Column("delivery_id", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.Text),
        sa.CheckConstraint("(status IS NULL) <> (error IS NULL)", name="webhook_attempts_outcome"),
        sa.ForeignKeyConstraint(
            ["webhook_id", "delivery_id"],
            ["webhook_deliveries.webhook_id", "webhook_deliveries.id"],
            name="webhook_attempts_delivery",
            ondelete="CASCADE",
        ),
    )
    op.create_index("webhook_attempts_by_delivery", "webhook_attempts", ["webhook_id", "delivery_id", "id"])


def downgrade() -> None:
    for table in ("webhook_attempts", "webhook_deliveries", "webhook_secrets", "webhooks"):
        op.drop_table(table)
