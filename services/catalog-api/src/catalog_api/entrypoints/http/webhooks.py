"""`/webhooks` and what is under it, for administrators."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from catalog_api.domain.delivery import DeliveryState
from catalog_api.domain.webhooks import Position
from catalog_api.entrypoints.http import cursors, examples
from catalog_api.entrypoints.http.access import WEBHOOKS
from catalog_api.entrypoints.http.answers import json_response, webhook_with_secret_response
from catalog_api.entrypoints.http.bodies import JSON, MERGE_PATCH, read_json, validated
from catalog_api.entrypoints.http.openapi import conflict, json_body, problem_responses
from catalog_api.entrypoints.http.routing import CanonicalId
from catalog_api.entrypoints.http.webhook_schemas import (
    DeliveryOutput,
    DeliveryPage,
    RotationInput,
    WebhookInput,
    WebhookOutput,
    WebhookPage,
    WebhookPatch,
    WebhookWithSecretOutput,
)
from catalog_api.use_cases.manage_webhooks import ManageWebhooks

CURSOR_MAX: Final = 400

WebhookId = Annotated[UUID, CanonicalId, Path(description="A webhook's id.")]
DeliveryId = Annotated[UUID, CanonicalId, Path(description="A delivery's id, which is the header `webhook-id`.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_MAX, description="`next_cursor` of the page before, asked for in the same way."),
]
State = Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")]
_WEBHOOK: Final = f"{WEBHOOKS}/{{webhook_id}}"
_DISABLED: Final = conflict("The webhook is disabled.")


def add_webhook_routes(router: APIRouter, webhooks: ManageWebhooks) -> None:
    """Add the routes."""
    _add_routes_of_webhooks(router, webhooks)
    _add_routes_of_deliveries(router, webhooks)


def _add_routes_of_webhooks(router: APIRouter, webhooks: ManageWebhooks) -> None:
    @router.post(
        WEBHOOKS,
        status_code=201,
        response_model=WebhookWithSecretOutput,
        responses=problem_responses(400, 408, 413, 415, 422) | conflict("There are as many as there may be."),
        openapi_extra=json_body(WebhookInput, examples.WEBHOOK_INPUT),
        summary="Create a webhook",
        operation_id="create_webhook",
        tags=["webhooks"],
    )
    async def create_webhook(request: Request) -> Response:
        """The answer shows the secret that messages are signed with, and nothing ever shows it again."""
        wanted = validated(WebhookInput, await read_json(request))
        return webhook_with_secret_response(await webhooks.create(wanted.url, wanted.description), 201)

    @router.get(
        WEBHOOKS,
        response_model=WebhookPage,
        responses=problem_responses(422),
        summary="List the webhooks",
        operation_id="list_webhooks",
        tags=["webhooks"],
    )
    async def list_webhooks(limit: Limit = 50, cursor: Cursor = None) -> Response:
        """Oldest first."""
        after = None if cursor is None else cursors.decode_position("webhooks", cursor)
        return _page_response("webhooks", await webhooks.page(after, limit + 1), limit)

    @router.get(
        _WEBHOOK,
        response_model=WebhookOutput,
        responses=problem_responses(404, 422),
        summary="Read a webhook",
        operation_id="read_webhook",
        tags=["webhooks"],
    )
    async def read_webhook(webhook_id: WebhookId) -> Response:
        """Whether it is enabled, and since when it fails."""
        return json_response(await webhooks.get(webhook_id))

    @router.patch(
        _WEBHOOK,
        response_model=WebhookOutput,
        responses=problem_responses(400, 404, 408, 413, 415, 422),
        openapi_extra=json_body(WebhookPatch, examples.WEBHOOK_PATCH, MERGE_PATCH, JSON),
        summary="Change a webhook",
        operation_id="change_webhook",
        tags=["webhooks"],
    )
    async def change_webhook(request: Request, webhook_id: WebhookId) -> Response:
        """A JSON merge patch (RFC 7396). One that is enabled again goes on with what was pending."""
        patch = validated(WebhookPatch, await read_json(request, (MERGE_PATCH, JSON)))
        return json_response(await webhooks.change(webhook_id, patch.change()))

    @router.delete(
        _WEBHOOK,
        status_code=204,
        responses=problem_responses(404, 422) | conflict("Alerts are told to the webhook."),
        summary="Delete a webhook",
        operation_id="delete_webhook",
        tags=["webhooks"],
    )
    async def delete_webhook(webhook_id: WebhookId) -> Response:
        """Its secrets and its deliveries go with it. Alerts that are told to it are to be deleted or changed before."""
        await webhooks.delete(webhook_id)
        return Response(status_code=204)

    @router.post(
        f"{_WEBHOOK}/rotate-secret",
        response_model=WebhookWithSecretOutput,
        responses=problem_responses(400, 404, 408, 413, 415, 422),
        openapi_extra=json_body(RotationInput, examples.ROTATION_INPUT, required=False),
        summary="Change a webhook's secret",
        operation_id="rotate_secret",
        tags=["webhooks"],
    )
    async def rotate_secret(request: Request, webhook_id: WebhookId) -> Response:
        """Until the overlap ends messages have two signatures, one by each secret; at most two secrets are live."""
        wanted = validated(RotationInput, await read_json(request) if await request.body() else {})
        return webhook_with_secret_response(await webhooks.rotate_secret(webhook_id, wanted.overlap_seconds), 200)


def _add_routes_of_deliveries(router: APIRouter, webhooks: ManageWebhooks) -> None:
    common: dict[str, Any] = {"tags": ["webhooks"], "response_model": DeliveryOutput, "status_code": 202}

    @router.post(
        f"{_WEBHOOK}/test",
        responses=problem_responses(404, 422) | _DISABLED,
        summary="Send a test",
        operation_id="test_webhook",
        **common,
    )
    async def test_webhook(webhook_id: WebhookId) -> Response:
        """A message of the type `webhook.test` is sent like any other; its delivery tells what came of it."""
        return json_response(await webhooks.test(webhook_id), status=202)

    @router.get(
        f"{_WEBHOOK}/deliveries",
        response_model=DeliveryPage,
        responses=problem_responses(404, 422),
        summary="List a webhook's deliveries",
        operation_id="list_deliveries",
        tags=["webhooks"],
    )
    async def list_deliveries(
        webhook_id: WebhookId, limit: Limit = 50, cursor: Cursor = None, state: State = None
    ) -> Response:
        """Newest first, with their attempts."""
        of = f"deliveries {webhook_id} {state}"
        after = None if cursor is None else cursors.decode_position(of, cursor)
        return _page_response(of, await webhooks.deliveries(webhook_id, state, after, limit + 1), limit)

    @router.post(
        f"{_WEBHOOK}/deliveries/{{delivery_id}}/redeliver",
        responses=problem_responses(404, 422) | _DISABLED,
        summary="Deliver again",
        operation_id="redeliver",
        **common,
    )
    async def redeliver(webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
        """The same message with the same `webhook-id` is sent at once, and again over a day while that fails."""
        return json_response(await webhooks.redeliver(webhook_id, delivery_id), status=202)


def _page_response(of: str, items: list[Any], limit: int) -> Response:
    """A page of what was asked for with one more than the limit."""
    cursor = None
    if len(items) > limit:
        last = items[limit - 1]
        cursor = cursors.encode_position(of, Position(last.created_at, last.id))
    return json_response({"items": items[:limit], "next_cursor": cursor})
