"""Misbehaviour: set, listed, cleared."""

from offers_simulator.admin.routing import Route, UnknownError, read_body
from offers_simulator.faults.board import FaultBoard, read_fault
from offers_simulator.http.message import Request, Response, json_response


class FaultsAdmin:
    """Handlers for `/admin/faults`."""

    def __init__(self, faults: FaultBoard) -> None:
        self._faults = faults

    def routes(self) -> list[Route]:
        """What this class answers."""
        return [
            Route("GET", "/admin/faults", self.show, "faults in force"),
            Route(
                "POST",
                "/admin/faults",
                self.add,
                'make an endpoint misbehave: {"kind": "status", "endpoint": "offers", "status": 503, "times": 3}',
            ),
            Route("DELETE", "/admin/faults", self.clear, "behave again"),
            Route("DELETE", "/admin/faults/{number}", self.remove, "end one fault"),
        ]

    def show(self, _: Request) -> Response:
        """Oldest first."""
        return json_response(200, {"items": [active.described() for active in self._faults.active()]})

    def add(self, request: Request) -> Response:
        """201 with the fault as it was understood."""
        active = self._faults.add(read_body(request, read_fault))
        return json_response(201, active.described(), (("Location", f"/admin/faults/{active.number}"),))

    def clear(self, _: Request) -> Response:
        """Answers that are under way are not changed by this."""
        return json_response(200, {"cleared": self._faults.clear()})

    def remove(self, _: Request, number: str) -> Response:
        """404 where it is not in force."""
        if not (number.isascii() and number.isdigit() and self._faults.remove(int(number))):
            raise UnknownError(f"fault {number[:20]} is not in force")
        return json_response(200, {"cleared": 1})
