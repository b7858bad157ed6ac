"""The tables, as the migrations make them; a test holds the two equal."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from outbox import outbox_table

metadata: Final = sa.MetaData()

Time: Final = TIMESTAMP(timezone=True)

products: Final = sa.Table(
    "products",
    metadata,
    sa.Column("product_no", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("product_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("deleted_at", Time, comment="a tombstone: what arrives later about the product is ignored"),
    sa.Column("version", sa.Integer, nullable=False, server_default="0", comment="grows by one with each update"),
    sa.Column("next_offer_no", sa.Integer, nullable=False, server_default="0"),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("observed_at", Time),
    sa.Column("last_change_at", Time),
    sa.Column("head_begins", Time, comment="the first change in the head: the chunk that is still added to"),
    sa.Column("chunks", sa.Integer, nullable=False, server_default="0", comment="how many have been closed"),
    sa.Column("head_rows", sa.Integer, nullable=False, server_default="0", comment="observations in the head"),
    sa.Column("head_changes", sa.Integer, nullable=False, server_default="0", comment="changes of offers in these"),
    sa.Column("head_state", sa.LargeBinary, nullable=False, server_default="", comment="as chunks.state"),
    sa.Column("head", sa.LargeBinary, nullable=False, server_default="", comment="as chunks.changes"),
    sa.Column(
        "offers",
        sa.LargeBinary,
        nullable=False,
        server_default=sa.text(r"'\x9490909090'"),
        comment="as last observed, MessagePack: [[offer id, …], [offer_no, …], [price, …], [items in stock, …]]",
    ),
    sa.Column(
        "track_record",
        sa.LargeBinary,
        nullable=False,
        server_default="",
        comment="of best prices, MessagePack, instants in microseconds: [watched since, lowest ever, out of stock "
        "since, [[last day in effect, price], …]]; empty before the first price",
    ),
    # Room in each page for the next versions of its rows: updates stay heap-only and touch no index.
    postgresql_with={"fillfactor": "70"},
)

offers: Final = sa.Table(
    "offers",
    metadata,
    sa.Column("product_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("offer_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("offer_id", sa.Text, nullable=False),
    sa.Column("ended_at", Time),
    sa.Index("offers_product_no_offer_id", "product_no", "offer_id"),
    comment="each life of an offer: an id that ended and came back has two numbers",
)

chunks: Final = sa.Table(
    "chunks",
    metadata,
    # Ordered so that nothing is lost to alignment. No foreign key: it would cost a lookup for each row.
    sa.Column("begins", Time, nullable=False, comment="its first change"),
    sa.Column("ends", Time, nullable=False, comment="its last change"),
    sa.Column("product_no", sa.Integer, nullable=False),
    sa.Column("observations", sa.Integer, nullable=False),
    sa.Column(
        "state",
        sa.LargeBinary,
        nullable=False,
        comment="what held before, MessagePack: [best_in_stock, best_out_of_stock, offer_no, price, offer_no, …]",
    ),
    sa.Column(
        "changes",
        sa.LargeBinary,
        nullable=False,
        comment="the observations, one MessagePack message after the other: [microseconds since the one before, lowest "
        "price among the offers in stock, [[offer_no, price, items in stock], …] with nil and nil for an offer "
        "that ended, lowest price of all offers if that is lower]",
    ),
    sa.PrimaryKeyConstraint("product_no", "ends"),
    postgresql_partition_by="RANGE (ends)",
    comment="observations of a product in which something recorded changed; the last ones are in products.head",
)

rollups: Final = sa.Table(
    "rollups",
    metadata,
    sa.Column("begins", Time, nullable=False),
    sa.Column("ends", Time, nullable=False),
    sa.Column("product_no", sa.Integer, nullable=False),
    sa.Column("level", sa.SmallInteger, nullable=False, comment="of `LEVELS`: how long the cells are"),
    sa.Column("best_in_stock", sa.LargeBinary, nullable=False, comment="MessagePack: a series in columns, see packing"),
    sa.Column("best", sa.LargeBinary, comment="the same of all offers; null where it is the same"),
    sa.Column("offers", sa.LargeBinary, nullable=False, comment="MessagePack: {offer_no: series}"),
    sa.PrimaryKeyConstraint("product_no", "level", "begins"),
    comment="blocks of a product's history, each told by cells; kept for ever",
)

rollup_queue: Final = sa.Table(
    "rollup_queue",
    metadata,
    sa.Column("ends", Time, nullable=False),
    sa.Column("product_no", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("product_no", "ends"),
    comment="where chunks begin up to which blocks are to be made",
)

retention: Final = sa.Table(
    "retention",
    metadata,
    sa.Column("kept_since", Time, nullable=False),
    comment="at most one row: single changes before are dropped, and only rollups tell of them",
)

outbox: Final = outbox_table(metadata)
