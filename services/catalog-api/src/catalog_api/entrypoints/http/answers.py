"""From what use cases return to the bytes of an answer.

Encoded straight from the domain's objects: validating 50 products again on their way out costs more than reading them.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from catalog_api.domain.offers import OfferList
from catalog_api.domain.pages import Page
from catalog_api.domain.product import Product
from catalog_api.entrypoints.http.bodies import JSON
from catalog_api.entrypoints.http.conditions import etag
from catalog_api.entrypoints.http.cursors import encode as encode_cursor
from catalog_api.entrypoints.http.routing import PRODUCTS
from catalog_api.use_cases.answer_once import Answer
from catalog_api.use_cases.manage_tokens import CreatedToken
from catalog_api.use_cases.manage_webhooks import WebhookWithSecret

_encode: Final = msgspec.json.Encoder().encode


def product_response(product: Product) -> Response:
    """A product with its ETag."""
    return json_response(product, {"ETag": etag(product.version)})


def created_answer(product: Product) -> Answer:
    """201 for a new product."""
    headers = {"Location": f"{PRODUCTS}/{product.id}", "ETag": etag(product.version)}
    return Answer(201, headers, _encode(product))


def ok_answer(value: Any) -> Answer:
    """200 for anything."""
    return Answer(200, {}, _encode(value))


def page_response(page: Page) -> Response:
    """Products and the cursor of the next ones."""
    cursor = None if page.next is None else encode_cursor(page.next)
    return json_response({"items": page.items, "next_cursor": cursor})


def offers_response(offers: OfferList) -> Response:
    """Offers; their JSON is passed on as it is stored."""
    return json_response(
        {
            "product_id": offers.product_id,
            "observed_at": offers.observed_at,
            "items": msgspec.Raw(offers.items.encode()),
        }
    )


def created_token_response(created: CreatedToken) -> Response:
    """201 for a new access token, with its text."""
    return Response(_encode(msgspec.structs.asdict(created.token) | {"token": created.text}), 201, media_type=JSON)


def webhook_with_secret_response(made: WebhookWithSecret, status: int) -> Response:
    """A webhook with its newest secret."""
    return Response(_encode(msgspec.structs.asdict(made.webhook) | {"secret": made.secret}), status, media_type=JSON)


def answer_response(answer: Answer) -> Response:
    """An answer that was made, or made again, under an Idempotency-Key."""
    replayed = {"Idempotency-Replayed": "true"} if answer.replayed else {}
    return Response(answer.body, answer.status, answer.headers | replayed, JSON)


def json_response(value: Any, headers: Mapping[str, str] | None = None, *, status: int = 200) -> Response:
    """JSON."""
    return Response(_encode(value), status, headers, JSON)
