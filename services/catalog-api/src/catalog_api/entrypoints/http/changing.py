"""`PUT`, `PATCH` and `DELETE /products/{id}`, each under If-Match where it is given."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from catalog_api.entrypoints.http import examples
from catalog_api.entrypoints.http.answers import product_response
from catalog_api.entrypoints.http.bodies import JSON, MERGE_PATCH, read_json, validated
from catalog_api.entrypoints.http.conditions import precondition
from catalog_api.entrypoints.http.openapi import ETAG, json_body, parameter, problem_responses
from catalog_api.entrypoints.http.routing import PRODUCT, ProductId
from catalog_api.entrypoints.http.schemas import ProductInput, ProductOutput, ProductPatch
from catalog_api.use_cases.catalog import Catalog

_IF_MATCH: Final = {
    "parameters": [
        parameter(
            "If-Match",
            "header",
            {"type": "string", "examples": ['"1"', '"1", "2"', "*"]},
            "ETags of the versions that may be changed, compared strongly, or `*`. 412 when the product's is not among "
            "them.",
        )
    ]
}
_RESPONSES: Final = {200: {"headers": ETAG}, **problem_responses(400, 404, 408, 412, 413, 415, 422)}


def add_changing_routes(router: APIRouter, catalog: Catalog) -> None:
    """Add the routes."""

    @router.put(
        PRODUCT,
        response_model=ProductOutput,
        responses=_RESPONSES,
        openapi_extra=json_body(ProductInput, examples.PRODUCT_INPUT) | _IF_MATCH,
        summary="Replace a product's name and description",
        operation_id="replace_product",
        tags=["products"],
    )
    async def replace_product(request: Request, product_id: ProductId) -> Response:
        """What changes nothing makes no version."""
        accepts = precondition(request.headers.getlist("if-match"))
        text = validated(ProductInput, await read_json(request)).text()
        return product_response(await catalog.change(product_id, lambda _: text, accepts))

    @router.patch(
        PRODUCT,
        response_model=ProductOutput,
        responses=_RESPONSES,
        openapi_extra=json_body(ProductPatch, examples.PATCH, MERGE_PATCH, JSON) | _IF_MATCH,
        summary="Change a product's name or description",
        operation_id="change_product",
        tags=["products"],
    )
    async def change_product(request: Request, product_id: ProductId) -> Response:
        """A JSON merge patch (RFC 7396). What changes nothing makes no version."""
        accepts = precondition(request.headers.getlist("if-match"))
        patch = validated(ProductPatch, await read_json(request, (MERGE_PATCH, JSON)))
        return product_response(await catalog.change(product_id, patch.apply, accepts))

    @router.delete(
        PRODUCT,
        status_code=204,
        responses=problem_responses(404, 412, 422),
        openapi_extra=_IF_MATCH,
        summary="Delete a product",
        operation_id="delete_product",
        tags=["products"],
    )
    async def delete_product(request: Request, product_id: ProductId) -> Response:
        """Its offers and the alerts on it go with it, and it is no longer polled."""
        await catalog.delete(product_id, precondition(request.headers.getlist("if-match")))
        return Response(status_code=204)
