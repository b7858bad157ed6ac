"""The kinds of misbehaviour, each as the JSON object that the admin API takes: `{"kind": …, "endpoint": …}`.

`truth` gives the documented answer, and carries out what was asked for; a kind that does not need it leaves the call
without effect, unless `applied` says otherwise (the work is done, the answer is lost).
"""

# ruff: noqa: D102 - what an override does is said by its class

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from offers_simulator.faults.deliveries import BlackHole, Delayed, Drip, Reset, gzip_bomb, long_list
from offers_simulator.http.message import JSON, Answer, Response

Endpoint = Literal["auth", "register", "offers", "*"]
Truth = Callable[[], Response]
Status = Annotated[int, Meta(ge=200, le=599)]
HeaderText = Annotated[str, Meta(pattern=r"^[ -~]*$", max_length=8000)]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")]
WITHOUT_BODY: Final = (204, 205, 304)
Megabytes = Annotated[int, Meta(ge=1, le=100_000)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every kind has."""

    endpoint: Endpoint
    product: str | None = None
    """Only calls about this product; None: all calls to the endpoint."""
    times: Annotated[int, Meta(ge=1)] | None = None
    """For so many calls; None: until cleared."""
    delay_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0
    """Wait so long before the answer begins."""

    def answer(self, truth: Truth) -> Answer:
        """The answer to one call."""
        wrong = self.misbehave(truth)
        return Delayed(self.delay_seconds, wrong) if self.delay_seconds else wrong

    def misbehave(self, truth: Truth) -> Answer:
        """The answer, before any delay."""
        raise NotImplementedError


class UnappliedFault(Fault, frozen=True, kw_only=True):
    """A kind whose answer does not need the call to take effect."""

    applied: bool = False
    """True: the call takes effect all the same (a registration is stored, a token issued)."""

    def misbehave(self, truth: Truth) -> Answer:
        """The made-up answer."""
        if self.applied:
            truth()
        return self.made_up()

    def made_up(self) -> Answer:
        """The answer that has nothing to do with the truth."""
        raise NotImplementedError


class Delay(Fault, frozen=True, kw_only=True, tag="delay"):
    """The right answer, late."""

    delay_seconds: Annotated[float, Meta(ge=0, le=86_400)]

    def misbehave(self, truth: Truth) -> Answer:
        return truth()


class StatusFault(UnappliedFault, frozen=True, kw_only=True, tag="status"):
    """Any status, with or without Retry-After (seconds or an HTTP date) and further headers."""

    status: Status
    retry_after: Annotated[int, Meta(ge=0)] | HeaderText | None = None
    headers: dict[HeaderName, HeaderText] = {}
    body: Any = None
    """Any JSON value; None: `{"code", "msg"}`."""

    def made_up(self) -> Answer:
        said = {"code": f"STATUS {self.status}", "msg": "The simulator was told to say so"}
        content = said if self.body is None else self.body
        body = b"" if self.status in WITHOUT_BODY else msgspec.json.encode(content)
        headers = tuple(self.headers.items())
        if self.retry_after is not None:
            headers += (("Retry-After", str(self.retry_after)),)
        return Response(self.status, body, headers=headers)


class Redirect(UnappliedFault, frozen=True, kw_only=True, tag="redirect"):
    """A redirect to any URL."""

    location: HeaderText
    status: Literal[301, 302, 303, 307, 308] = 302

    def made_up(self) -> Answer:
        return Response(self.status, b"", headers=(("Location", self.location),))


class BlackHoleFault(UnappliedFault, frozen=True, kw_only=True, tag="black_hole"):
    """No answer at all; the connection stays open."""

    def made_up(self) -> Answer:
        return BlackHole()


class Body(UnappliedFault, frozen=True, kw_only=True, tag="body"):
    """Exactly this body, as `text` or as `base64`, under this status and content type."""

    text: str | None = None
    base64: str | None = None
    status: Status = 200
    content_type: HeaderText = JSON

    def __post_init__(self) -> None:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("body: give either `text` or `base64`")
        try:
            b64decode(self.base64 or "", validate=True)
        except Base64Error as error:
            raise ValueError(f"base64: {error}") from None

    def made_up(self) -> Answer:
        body = self.text.encode() if self.text is not None else b64decode(self.base64 or "")
        return Response(self.status, body, self.content_type)


class DeepNesting(UnappliedFault, frozen=True, kw_only=True, tag="deep_nesting"):
    """Lists in lists in lists: valid JSON, `depth` deep."""

    depth: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000

    def made_up(self) -> Answer:
        return Response(200, b"[" * self.depth + b"]" * self.depth)


class HugeBody(UnappliedFault, frozen=True, kw_only=True, tag="huge_body"):
    """A valid list of so many million bytes."""

    megabytes: Megabytes = 200

    def made_up(self) -> Answer:
        return long_list(self.megabytes)


class GzipBomb(UnappliedFault, frozen=True, kw_only=True, tag="gzip_bomb"):
    """A valid gzipped list that expands to so many million bytes."""

    megabytes: Megabytes = 1000

    def made_up(self) -> Answer:
        return gzip_bomb(self.megabytes)


class ResetFault(Fault, frozen=True, kw_only=True, tag="reset"):
    """A TCP reset in the middle of the right answer's body, after its headers, or before it (`start`)."""

    at: Literal["start", "headers", "body"] = "body"

    def misbehave(self, truth: Truth) -> Answer:
        return Reset(truth(), self.at)


class DripFault(Fault, frozen=True, kw_only=True, tag="drip"):
    """The right answer's body, one byte a second."""

    bytes_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 1

    def misbehave(self, truth: Truth) -> Answer:
        return Drip(truth(), self.bytes_per_second)


class TruncatedJson(Fault, frozen=True, kw_only=True, tag="truncated_json"):
    """The first half of the right answer's body, as if it were whole."""

    def misbehave(self, truth: Truth) -> Answer:
        right = truth()
        return Response(right.status, right.body[: len(right.body) // 2], right.content_type)


class ContentType(Fault, frozen=True, kw_only=True, tag="content_type"):
    """The right answer under a wrong content type."""

    content_type: HeaderText = "text/html; charset=utf-8"

    def misbehave(self, truth: Truth) -> Answer:
        right = truth()
        return Response(right.status, right.body, self.content_type)
