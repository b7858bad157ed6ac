"""`/alerts`: made, listed, changed, deleted, and what they fired; and `POST /alerts/dry-run`."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from catalog_api.domain.alerts import MAX_ALERTS, MAX_ALERTS_FOR_ALL, Alert, LoggedFiring
from catalog_api.domain.webhooks import Position
from catalog_api.entrypoints.http import cursors, examples
from catalog_api.entrypoints.http.alert_schemas import (
    AlertInput,
    AlertOutput,
    AlertPage,
    AlertPatch,
    DryRunInput,
    DryRunOutput,
    FiringPage,
)
from catalog_api.entrypoints.http.answers import json_response
from catalog_api.entrypoints.http.bodies import read_json, validated
from catalog_api.entrypoints.http.openapi import conflict, json_body, problem_responses
from catalog_api.entrypoints.http.routing import ALERT, ALERTS, DRY_RUN, AlertId, CanonicalId
from catalog_api.use_cases.catalog import Catalog

CURSOR_MAX: Final = 400

Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_MAX, description="`next_cursor` of the page before, asked for in the same way."),
]
OnProduct = Annotated[
    UUID | None,
    CanonicalId,
    Query(description="Only alerts on this product, without those on all.", examples=[examples.PRODUCT["id"]]),
]

_TOO_MANY: Final = conflict("There are as many as there may be.")
_LOCATION: Final = {"Location": {"description": "The alert's path.", "schema": {"type": "string"}, "required": True}}
_TAGS: Final[list[str | Enum]] = ["alerts"]
_WHEN_IT_FIRES: Final = f"""
It goes by every change of best prices as it is recorded, and by the times of these changes; nothing fires because time
passes. `best_price_at_or_below`, `drop` and `rise` fire at a change at which they hold, if the alert is armed for that
product and no firing lies less than `cooldown_seconds` before. It is armed from the start: one that is made while its
condition holds fires at the next change at which it still does. After a firing it is armed again by the change at which
the price has left the condition by `hysteresis_percent`, or that finds that it had: a price that stays put leaves a
drop or rise as the window slides past what it moved from. Without a price, as nothing is in stock, nothing holds and
nothing is left. What became true during the cooldown fires at the first change after it at which it still holds.
`new_low` and `back_in_stock` are instants: those in the cooldown are not told.

There may be {MAX_ALERTS} alerts, {MAX_ALERTS_FOR_ALL} of them on all products. An alert is deleted with its product.
"""


def add_alert_routes(router: APIRouter, catalog: Catalog) -> None:
    """Add the routes."""
    alerts = catalog.alerts

    @router.post(
        ALERTS,
        status_code=201,
        response_model=AlertOutput,
        responses={201: {"headers": _LOCATION}, **problem_responses(400, 408, 413, 415, 422), **_TOO_MANY},
        openapi_extra=json_body(AlertInput, examples.ALERT_INPUT),
        description=_WHEN_IT_FIRES,
        summary="Create an alert",
        operation_id="create_alert",
        tags=_TAGS,
    )
    async def create_alert(request: Request) -> Response:
        alert = await alerts.create(validated(AlertInput, await read_json(request)).wish())
        return json_response(_shown(alert), {"Location": f"{ALERTS}/{alert.id}"}, status=201)

    @router.get(
        ALERTS,
        response_model=AlertPage,
        responses=problem_responses(422),
        summary="List alerts",
        operation_id="list_alerts",
        tags=_TAGS,
    )
    async def list_alerts(limit: Limit = 50, cursor: Cursor = None, product_id: OnProduct = None) -> Response:
        """Oldest first."""
        of = "alerts" if product_id is None else f"alerts {product_id}"
        after = None if cursor is None else cursors.decode_position(of, cursor)
        found = await alerts.page(product_id, after, limit + 1)
        items = found[:limit]
        more = None if len(found) <= limit else Position(items[-1].created_at, items[-1].id)
        return _page_response(of, [_shown(alert) for alert in items], more)

    @router.post(
        DRY_RUN,
        response_model=DryRunOutput,
        responses=problem_responses(400, 404, 408, 413, 415, 422),
        openapi_extra=json_body(DryRunInput, examples.DRY_RUN_INPUT),
        summary="Try an alert on recorded prices",
        operation_id="dry_run_alert",
        tags=_TAGS,
    )
    async def dry_run_alert(request: Request) -> Response:
        """How often it would have fired, had it been made at `from`. It is the same rule over the same changes.

        The scope `read` is enough.
        """
        wanted = validated(DryRunInput, await read_json(request))
        begins, ends = wanted.period(datetime.now(UTC))
        found = await catalog.dry_run_alert(wanted.rule(), wanted.product_id, begins, ends)
        return json_response({"from": begins, "to": ends, **msgspec.structs.asdict(found)})

    @router.get(
        ALERT,
        response_model=AlertOutput,
        responses=problem_responses(404, 422),
        summary="Read an alert",
        operation_id="read_alert",
        tags=_TAGS,
    )
    async def read_alert(alert_id: AlertId) -> Response:
        """With how often it fired, and when last."""
        return json_response(_shown(await alerts.get(alert_id)))

    @router.patch(
        ALERT,
        response_model=AlertOutput,
        responses=problem_responses(400, 404, 408, 413, 415, 422) | _TOO_MANY,
        openapi_extra=json_body(AlertPatch, examples.ALERT_PATCH),
        summary="Change an alert",
        operation_id="change_alert",
        tags=_TAGS,
    )
    async def change_alert(alert_id: AlertId, request: Request) -> Response:
        """With another condition or product, or enabled again, it starts anew and forgets what it knew of prices."""
        patch = validated(AlertPatch, await read_json(request))
        return json_response(_shown(await alerts.change(alert_id, patch.apply)))

    @router.delete(
        ALERT,
        status_code=204,
        responses=problem_responses(404, 422),
        summary="Delete an alert",
        operation_id="delete_alert",
        tags=_TAGS,
    )
    async def delete_alert(alert_id: AlertId) -> Response:
        """With the log of what it fired. What is to be delivered already is delivered."""
        await alerts.delete(alert_id)
        return Response(status_code=204)

    @router.get(
        f"{ALERT}/firings",
        response_model=FiringPage,
        responses=problem_responses(404, 422),
        summary="List what an alert fired",
        operation_id="list_firings",
        tags=_TAGS,
    )
    async def list_firings(alert_id: AlertId, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """Newest first, of the last 30 days."""
        of = f"firings {alert_id}"
        after = None if cursor is None else cursors.decode_position(of, cursor)
        found = await alerts.firings(alert_id, after, limit + 1)
        items = found[:limit]
        more = None if len(found) <= limit else Position(items[-1].at, items[-1].id)
        return _page_response(of, [_firing(item) for item in items], more)


def _page_response(of: str, items: list[dict[str, Any]], more: Position | None) -> Response:
    cursor = None if more is None else cursors.encode_position(of, more)
    return json_response({"items": items, "next_cursor": cursor})


def _firing(logged: LoggedFiring) -> dict[str, Any]:
    """The firing as the API's JSON."""
    return {
        "id": logged.id,
        "product_id": logged.product_id,
        "at": logged.at,
        "price": logged.price,
        "reference": logged.reference,
    }


def _shown(alert: Alert) -> dict[str, Any]:
    """The alert as the API's JSON."""
    wish = alert.wish
    return {
        "id": alert.id,
        "name": wish.name,
        "product_id": wish.product_id,
        "condition": wish.rule.condition,
        "webhook_id": wish.webhook_id,
        "cooldown_seconds": wish.rule.cooldown_seconds,
        "hysteresis_percent": wish.rule.hysteresis_percent,
        "enabled": wish.enabled,
        "firings_count": alert.firings_count,
        "last_fired_at": alert.last_fired_at,
        "created_at": alert.created_at,
        "updated_at": alert.updated_at,
    }
