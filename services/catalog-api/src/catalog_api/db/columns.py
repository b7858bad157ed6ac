"""A product as every statement reads it, in the order of `Product`'s fields."""

from typing import Final

PRODUCT_COLUMNS: Final = """
p.id, p.name, p.description, p.version, p.created_at, p.updated_at, p.registration,
o.best_price, o.offers_count, o.observed_at
"""

PRODUCT_TABLES: Final = "products p JOIN product_offers o ON o.product_id = p.id"
