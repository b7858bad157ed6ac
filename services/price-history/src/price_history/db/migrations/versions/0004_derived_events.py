"""What is kept of best prices for the events about them, and the outbox that these go through.

A product recorded before has no track record: it is taken to be watched since its last change, which the next one makes
its track record begin with.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "products",
        sa.Column(
            "track_record",
            sa.LargeBinary,
            nullable=False,
            server_default="",
            comment="of best prices, MessagePack, instants in microseconds: [watched since, lowest ever, out of stock "
            "since, [[last day in effect, price], …]]; empty before the first price",
        ),
    )
    # What recording a list stores of its product, as one value.
    op.execute("""
        CREATE TYPE recorded AS (
          product_no int, version int, revision bigint, observed_at timestamptz, dated timestamptz, head_changes int,
          state bytea, row bytea, offers bytea, track_record bytea
        )
    """)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    # An event of a hundred products has some thirty kilobytes, and lives for a moment: to compress it would take longer
    # than all else that is done with it here.
    op.execute("ALTER TABLE outbox ALTER COLUMN body SET STORAGE EXTERNAL")
