"""Levels of rollups between those that there were: blocks keep their cells, and get their new numbers.

What is missing of the new levels is made as the products change, or by `price-history rebuild`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("UPDATE rollups SET level = 5 WHERE level = 3")
    op.execute("UPDATE rollups SET level = 3 WHERE level = 2")
    op.alter_column(
        "rollups",
        "level",
        existing_type=sa.SmallInteger,
        existing_nullable=False,
        comment="of `LEVELS`: how long the cells are",
    )
