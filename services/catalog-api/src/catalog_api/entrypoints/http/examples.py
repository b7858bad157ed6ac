"""Examples for the OpenAPI document."""

from typing import Any, Final

PRODUCT_INPUT: Final = {"name": "Benzinová sekačka Dosquarna", "description": "Nejlepší sekačka na trhu. TLDR"}
PRODUCT: Final = {
    "id": "01936d2e-7c1a-7cc0-8000-5a7b1c2d3e4f",
    **PRODUCT_INPUT,
    "version": 1,
    "created_at": "2026-11-22T21:00:00.123456Z",
    "updated_at": "2026-11-22T21:00:00.123456Z",
    "registration": "registered",
    "best_price": 995,
    "offers_count": 5,
    "offers_observed_at": "2026-11-22T21:01:00Z",
}
PATCH: Final = {"description": "Nejlepší sekačka na trhu."}
BATCH_INPUT: Final[dict[str, Any]] = {"items": [PRODUCT_INPUT, {"name": "", "description": "Without a name"}]}
BATCH_OUTPUT: Final[dict[str, Any]] = {
    "results": [
        {
            "index": 0,
            "status": 201,
            "product": PRODUCT
            | {"registration": "pending", "best_price": None, "offers_count": 0, "offers_observed_at": None},
        },
        {
            "index": 1,
            "status": 422,
            "problem": {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "The item is not valid.",
                "errors": [{"pointer": "/name", "detail": "must have 1 to 200 characters after trimming"}],
            },
        },
    ]
}
PRODUCT_PAGE: Final[dict[str, Any]] = {"items": [PRODUCT], "next_cursor": None}
OFFERS: Final[dict[str, Any]] = {
    "product_id": PRODUCT["id"],
    "observed_at": "2026-11-22T21:01:00Z",
    "items": [
        {
            "id": "42",
            "price": 995,
            "items_in_stock": 5,
            "first_seen_at": "2026-11-22T20:00:00Z",
            "changed_at": "2026-11-22T21:01:00Z",
        }
    ],
}
TREND: Final[dict[str, Any]] = {
    "product_id": PRODUCT["id"],
    "offer_id": None,
    "basis": "best_in_stock",
    "from": "2026-11-22T20:00:00Z",
    "to": "2026-11-22T21:00:00Z",
    "resolution_seconds": None,
    "prices": [1000, 995],
    "points": [
        {"at": "2026-11-22T20:00:00Z", "price": 1000, "lowest": 1000, "highest": 1000},
        {"at": "2026-11-22T20:30:00Z", "price": 995, "lowest": 995, "highest": 995},
    ],
    "start": {"price": 1000, "at": "2026-11-22T20:00:00Z", "carried": True},
    "end": {"price": 995, "at": "2026-11-22T21:00:00Z"},
    "change": -5,
    "change_percent": -0.5,
    "reason": None,
    "lowest": {"price": 995, "at": "2026-11-22T20:30:00Z"},
    "highest": {"price": 1000, "at": "2026-11-22T20:00:00Z"},
    "average": 997.5,
}
HISTORY: Final[dict[str, Any]] = {
    "items": [
        {"at": "2026-11-22T20:00:00Z", "offer_id": "42", "price": 1000, "items_in_stock": 5},
        {"at": "2026-11-22T20:30:00Z", "offer_id": "42", "price": 995, "items_in_stock": 5},
        {"at": "2026-11-22T20:45:00Z", "offer_id": "42", "price": None, "items_in_stock": None},
    ],
    "next_cursor": None,
}
TOKEN_INPUT: Final = {"name": "reporting", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}
TOKEN: Final[dict[str, Any]] = {
    "id": "5f0c3d2e1b4a6978",
    **TOKEN_INPUT,
    "created_at": "2026-11-22T21:00:00.123456Z",
    "last_used_at": None,
    "revoked_at": None,
    "state": "live",
}
ANSWERS: Final = {
    "create_product": PRODUCT
    | {"registration": "pending", "best_price": None, "offers_count": 0, "offers_observed_at": None},
    "create_products": BATCH_OUTPUT,
    "list_products": PRODUCT_PAGE,
    "read_product": PRODUCT,
    "replace_product": PRODUCT,
    "change_product": PRODUCT,
    "list_offers": OFFERS,
    "product_trend": TREND,
    "offer_trend": TREND | {"offer_id": "42", "basis": None},
    "product_history": HISTORY,
    "create_token": TOKEN | {"token": f"agg_{TOKEN['id']}_00112233445566778899aabbccddeeff00112233"},
    "list_tokens": {"items": [TOKEN]},
}
"""What each operation answers when all is well, by its id."""
