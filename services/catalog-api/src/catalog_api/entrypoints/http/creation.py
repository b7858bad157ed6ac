"""`POST /products` and `POST /products/batch`, each done once for each Idempotency-Key."""

import json
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from pydantic import ValidationError
from starlette.responses import Response

from catalog_api.domain.product import ProductText
from catalog_api.entrypoints.http import examples
from catalog_api.entrypoints.http.answers import answer_response, created_answer, ok_answer
from catalog_api.entrypoints.http.bodies import errors_of, read_json, validated
from catalog_api.entrypoints.http.openapi import ETAG, json_body, problem_responses
from catalog_api.entrypoints.http.routing import BATCH_PATH, PRODUCTS
from catalog_api.entrypoints.http.schemas import BatchInput, BatchOutput, ProductInput, ProductOutput
from catalog_api.use_cases.answer_once import Answer, KeyedRequest
from catalog_api.use_cases.catalog import Catalog
from connection_pool import Connection
from http_api import problem

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Visible ASCII. For 24 hours the same key with the same body is answered as the first time, "
        "and creates nothing again; with another body it is refused.",
    ),
]
_REPLAYED: Final = {
    "Idempotency-Replayed": {
        "description": "`true` when this is the answer to an earlier request.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_LOCATION: Final = {"Location": {"description": "The product's path.", "schema": {"type": "string"}, "required": True}}


def add_creation_routes(router: APIRouter, catalog: Catalog) -> None:
    """Add the routes."""

    @router.post(
        PRODUCTS,
        status_code=201,
        response_model=ProductOutput,
        responses={201: {"headers": _LOCATION | ETAG | _REPLAYED}, **problem_responses(400, 408, 409, 413, 415, 422)},
        openapi_extra=json_body(ProductInput, examples.PRODUCT_INPUT),
        summary="Create a product",
        operation_id="create_product",
        tags=["products"],
    )
    async def create_product(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """It is registered with the Offers MS, and its offers are polled from then on."""
        payload = await read_json(request)
        text = validated(ProductInput, payload).text()

        async def work(connection: Connection) -> Answer:
            [product] = await catalog.create.over(connection, [text])
            return created_answer(product)

        return answer_response(await catalog.once(_keyed(PRODUCTS, idempotency_key, payload), work))

    @router.post(
        BATCH_PATH,
        response_model=BatchOutput,
        responses={200: {"headers": _REPLAYED}, **problem_responses(400, 408, 409, 413, 415, 422)},
        openapi_extra=json_body(BatchInput, examples.BATCH_INPUT),
        summary="Create up to 1000 products",
        operation_id="create_products",
        tags=["products"],
    )
    async def create_products(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """The good items are created together, all or none; each bad one is reported in its place."""
        payload = await read_json(request)
        texts = [_judged(item) for item in validated(BatchInput, payload).items]

        async def work(connection: Connection) -> Answer:
            good = [text for text in texts if isinstance(text, ProductText)]
            products = iter(await catalog.create.over(connection, good))
            return ok_answer(
                {
                    "results": [
                        {"index": index, "status": 201, "product": next(products)}
                        if isinstance(text, ProductText)
                        else {"index": index, "status": 422, "problem": text}
                        for index, text in enumerate(texts)
                    ]
                }
            )

        return answer_response(await catalog.once(_keyed(BATCH_PATH, idempotency_key, payload), work))


def _judged(item: Any) -> ProductText | dict[str, Any]:
    try:
        return ProductInput.model_validate(item).text()
    except ValidationError as error:
        return problem(422, "The item is not valid.", errors_of(error, ProductInput))


def _keyed(path: str, key: str | None, payload: Any) -> KeyedRequest | None:
    if key is None:
        return None
    # Over the JSON value, so that a client that writes the same value in another way repeats the same request.
    canonical = json.dumps([path, payload], sort_keys=True, separators=(",", ":"))
    return KeyedRequest(key, sha256(canonical.encode()).digest())
