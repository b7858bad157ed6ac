"""Alerts, what each knows of a product, and which fired."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else sa.func.now()
    )


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE")),
        sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id"), nullable=False),
        sa.Column("condition", pg.JSON, nullable=False),
        sa.Column("cooldown_seconds", sa.Integer, nullable=False),
        sa.Column("hysteresis_percent", sa.Double, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("firings_count", sa.BigInteger, nullable=False, server_default="0"),
        _time("last_fired_at", nullable=True),
        _time("created_at"),
        _time("updated_at"),
        _time("watching_since"),
    )
    op.create_index("alerts_by_creation", "alerts", ["created_at", "id"])
    op.create_index("alerts_by_product", "alerts", ["product_id", "created_at", "id"])
    op.create_index("alerts_by_webhook", "alerts", ["webhook_id"])
    op.create_table(
        "alert_states",
        sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("armed", sa.Boolean, nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True)),
        sa.Column("fired_price", sa.BigInteger),
        sa.Column("extremes", sa.LargeBinary, nullable=False),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("alert_states_by_product", "alert_states", ["product_id"])
    op.create_table(
        "alert_firings",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.BigInteger),
        _time("created_at"),
    )
    op.create_index("alert_firings_by_alert", "alert_firings", ["alert_id", "at", "id"])
    op.create_index("alert_firings_by_age", "alert_firings", ["created_at"])


def downgrade() -> None:
    for table in ("alert_firings", "alert_states", "alerts"):
        op.drop_table(table)
