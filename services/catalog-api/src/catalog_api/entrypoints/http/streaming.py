"""`GET /stream`: the events as they come, and again from where a client was."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from starlette.responses import Response
from starlette.types import Scope

from aggregator_contracts import EVENT_CLASSES
from catalog_api.entrypoints.http import examples
from catalog_api.entrypoints.http.event_stream import EventStream, anyone
from catalog_api.entrypoints.http.openapi import problem_responses
from catalog_api.entrypoints.http.routing import STREAM, canonical_id
from catalog_api.live.event import Wanted
from catalog_api.use_cases.follow_events import FollowEvents
from http_api import EVENT_STREAM

TYPES: Final = tuple(event.TYPE for event in EVENT_CLASSES)
PRODUCTS_MAX: Final = 100
OFFSET_MAX: Final = 2**63 - 2


def _known_type(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"must be one of {', '.join(TYPES)}")
    return name


ProductIds = Annotated[
    list[Annotated[UUID, BeforeValidator(canonical_id)]],
    Query(
        max_length=PRODUCTS_MAX,
        description="Only events about these products; of an event about several, only what it says of these. "
        "Repeatable.",
    ),
]
Types = Annotated[
    list[Annotated[str, AfterValidator(_known_type), WithJsonSchema({"type": "string", "enum": list(TYPES)})]],
    Query(max_length=len(TYPES), description="Only events of these types. Repeatable."),
]
Offset = Annotated[
    int | None,
    Query(
        ge=-1,
        le=OFFSET_MAX,
        description="As `Last-Event-ID`, which a browser's EventSource can't send when it connects for the first time; "
        "the header prevails.",
    ),
]
LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=-1,
        le=OFFSET_MAX,
        description="The last `id` that was received: the stream goes on behind it.",
    ),
]
From = Annotated[
    Literal["first", "now"],
    Query(alias="from", description="Where to begin without an id: with the oldest event that is kept, or now."),
]


@dataclass(frozen=True, slots=True)
class Streams:
    """What all streams have in common.

    Attributes:
        heartbeat_seconds: how often a quiet stream tells its position.
        granted: whether a request would pass the gate now; None where access is off.
    """

    heartbeat_seconds: float
    granted: Callable[[Scope], Awaitable[bool]] | None


def add_stream_route(router: APIRouter, follow: FollowEvents, streams: Streams) -> None:
    """Add the route."""

    @router.get(
        STREAM,
        status_code=200,
        response_class=EventStream,
        responses={
            200: {
                "description": "Server-sent events without end.",
                "content": {EVENT_STREAM: {"schema": {"type": "string"}, "example": examples.STREAM}},
            },
            **problem_responses(422),
        },
        summary="Follow the events",
        operation_id="follow_events",
        tags=["events"],
    )
    async def follow_events(  # noqa: PLR0913, PLR0917 - the parameters of the request
        request: Request,
        product_id: ProductIds = [],  # noqa: B006 - nobody changes it
        type: Types = [],  # noqa: A002, B006 - the parameter's name
        last_event_id: Offset = None,
        begin: From = "now",
        last_event_id_header: LastEventId = None,
    ) -> Response:
        """Every event that other systems get (`/docs/events`), as server-sent events, at least once and in order.

        `event` is the event's type, `data` the CloudEvent in one line, and `id` its place in the log. Whoever comes
        again with the last `id` gets what came behind it, for as long as that is kept, and else one event `gap` that
        says what is missed (`missed_from` and `missed_to` are ids, null where the log was made anew). A block of only
        an `id`, sent every 15 seconds in quiet times, moves that place and is no event.

        A client that reads too slowly is disconnected, as are all when the server is stopped, the broker goes, or the
        token is revoked. A browser's EventSource sends no `Authorization`: where access is required, read the stream
        with `fetch`.
        """
        after = last_event_id if last_event_id_header is None else last_event_id_header
        if after is not None:
            following = await follow.after(after)
        elif begin == "first":
            following = await follow.from_first()
        else:
            following = await follow.from_now()
        return EventStream(
            following,
            Wanted(frozenset(type), frozenset(map(str, product_id))),
            heartbeat_seconds=streams.heartbeat_seconds,
            granted=anyone if streams.granted is None else partial(streams.granted, request.scope),
        )
