"""What other systems may subscribe to: the page of the contract and its AsyncAPI document, open to all."""

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from http_api import EVENT_DOCUMENTATION

CONTRACT: Final = files("aggregator_contracts")


def event_documentation_routes() -> list[Route]:
    """`/docs/events`, for people, and `/docs/events.json`, for programs."""
    page, document = (CONTRACT.joinpath(name).read_bytes() for name in ("asyncapi.html", "asyncapi.json"))

    async def for_people(_: Request) -> Response:
        return Response(page, media_type="text/html")

    async def for_programs(_: Request) -> Response:
        return Response(document, media_type="application/vnd.aai.asyncapi+json;version=3.0.0")

    return [Route(EVENT_DOCUMENTATION, for_people), Route(f"{EVENT_DOCUMENTATION}.json", for_programs)]
