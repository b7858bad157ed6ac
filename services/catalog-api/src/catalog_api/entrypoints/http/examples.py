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
WEBHOOK_INPUT: Final = {"url": "https://shop.example/hooks/prices", "description": "Prices for the shop"}
WEBHOOK_PATCH: Final = {"enabled": True}
ROTATION_INPUT: Final = {"overlap_seconds": 86400}
WEBHOOK: Final[dict[str, Any]] = {
    "id": "019aaf2c-6c00-7c4e-8f00-2d1c5b6a7e80",
    **WEBHOOK_INPUT,
    "enabled": True,
    "disabled_because": None,
    "failing_since": None,
    "previous_secret_ends_at": None,
    "created_at": "2026-11-22T21:00:00.123456Z",
    "updated_at": "2026-11-22T21:00:00.123456Z",
}
TEST_MESSAGE: Final[dict[str, Any]] = {
    "type": "webhook.test",
    "timestamp": "2026-11-22T21:00:01.5Z",
    "data": {"text": "A test: whoever can verify this receives what comes."},
}
DELIVERY: Final[dict[str, Any]] = {
    "id": "019aaf2c-71f8-7d02-a5c3-9b8e7f6d5c40",
    "type": "webhook.test",
    "state": "pending",
    "created_at": "2026-11-22T21:00:01.5Z",
    "next_attempt_at": "2026-11-22T21:00:07Z",
    "ended_at": None,
    "payload": TEST_MESSAGE,
    "attempts": [
        {"at": "2026-11-22T21:00:01.6Z", "seconds": 0.21, "status": 503, "error": None, "answer": "back in a minute"}
    ],
}
_NEW_DELIVERY: Final = DELIVERY | {"next_attempt_at": DELIVERY["created_at"], "attempts": []}
_WITH_SECRET: Final = WEBHOOK | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}
ALERT_INPUT: Final[dict[str, Any]] = {
    "name": "Mower below 900",
    "product_id": PRODUCT["id"],
    "condition": {"type": "best_price_at_or_below", "price": 900},
    "webhook_id": "01936d2e-7c1a-7cc0-8000-0a1b2c3d4e5f",
    "cooldown_seconds": 3600,
    "hysteresis_percent": 1,
}
ALERT: Final[dict[str, Any]] = {
    "id": "01936d2e-7c1a-7cc0-8000-a1e7a1e7a1e7",
    **ALERT_INPUT,
    "enabled": True,
    "firings_count": 1,
    "last_fired_at": "2026-11-22T21:00:00.123456Z",
    "created_at": "2026-11-22T20:00:00.123456Z",
    "updated_at": "2026-11-22T20:00:00.123456Z",
}
ALERT_PATCH: Final = {"condition": {"type": "drop", "percent": 7.5, "window": "24h"}}
DRY_RUN_INPUT: Final[dict[str, Any]] = {
    "product_id": None,
    "condition": {"type": "new_low", "over": "30d"},
    "from": "2026-11-15T21:00:00Z",
    "to": "2026-11-22T21:00:00Z",
}
FOUND_FIRING: Final[dict[str, Any]] = {
    "product_id": PRODUCT["id"],
    "at": "2026-11-22T21:00:00.123456Z",
    "price": 899,
    "reference": 900,
}
DRY_RUN: Final[dict[str, Any]] = {
    "from": "2026-11-15T21:00:00Z",
    "to": "2026-11-22T21:00:00Z",
    "firings_count": 1,
    "firings": [FOUND_FIRING],
    "examined": {"products": 12, "changes": 3456, "complete": True, "reason": None},
}
ALERT_FIRED: Final[dict[str, Any]] = {
    "type": "alert.fired",
    "timestamp": FOUND_FIRING["at"],
    "data": {
        "alert_id": ALERT["id"],
        "name": ALERT["name"],
        "condition": ALERT["condition"],
        **FOUND_FIRING,
    },
}
FIRINGS: Final[dict[str, Any]] = {
    "items": [{"id": "8a4f8f0e-2b5d-5d3c-9a53-0f2c9d1e7b6a", **FOUND_FIRING}],
    "next_cursor": None,
}
STREAM: Final = f"""retry: 2417

id: 1041
:

id: 1042
event: catalog.product-deleted.v1
data: {{"specversion":"1.0","id":"8f1f8c2e-7b52-4c36-9d0e-4b7d6c0f7a11","source":"/catalog-api",\
"type":"catalog.product-deleted.v1","time":"2026-11-22T21:00:00.123456Z","datacontenttype":"application/json",\
"subject":"{PRODUCT["id"]}","data":{{"product_id":"{PRODUCT["id"]}","version":2}}}}

id: 2000
event: gap
data: {{"missed_from":1043,"missed_to":2000}}

"""
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
    "create_webhook": _WITH_SECRET,
    "list_webhooks": {"items": [WEBHOOK], "next_cursor": None},
    "read_webhook": WEBHOOK,
    "change_webhook": WEBHOOK,
    "rotate_secret": _WITH_SECRET | {"previous_secret_ends_at": "2026-11-23T21:00:00Z"},
    "test_webhook": _NEW_DELIVERY,
    "list_deliveries": {"items": [DELIVERY], "next_cursor": None},
    "redeliver": _NEW_DELIVERY,
    "create_alert": ALERT | {"firings_count": 0, "last_fired_at": None},
    "list_alerts": {"items": [ALERT], "next_cursor": None},
    "read_alert": ALERT,
    "change_alert": ALERT | ALERT_PATCH,
    "list_firings": FIRINGS,
    "dry_run_alert": DRY_RUN,
}
"""What each operation answers when all is well, by its id."""
