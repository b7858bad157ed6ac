"""Routes that are asked often, without FastAPI's way of finding each parameter by its signature."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response


def straight_route(read: Callable[[Request], dict[str, Any]]) -> type[APIRoute]:
    """A route that calls its endpoint, which is async and makes a Response, with the arguments that `read` finds.

    Where `read` raises ValueError the request goes FastAPI's way, which tells what is wrong with it. The signature is
    what the document shows, and `read` must find in valid requests what FastAPI would.
    """

    class StraightRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            explain, endpoint = super().get_route_handler(), self.endpoint

            async def handle(request: Request) -> Response:
                try:
                    arguments = read(request)
                except ValueError:
                    return await explain(request)
                answer: Response = await endpoint(**arguments)
                return answer

            return handle

    return StraightRoute
