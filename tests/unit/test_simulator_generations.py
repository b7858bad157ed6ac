"""Both generations answer as the Offers MS is documented, call by call."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from offers_simulator.bootstrap import build
from offers_simulator.http.message import Answer, Request, Response
from offers_simulator.protocol import generation2
from offers_simulator.settings import Settings

ID = "0190aaaa-0000-7000-8000-00000000000a"
GOOD = {"id": ID, "name": "Benzinová sekačka Dosquarna", "description": "Nejlepší sekačka na trhu. TLDR"}
REFRESH = "refresh-me"
BAD_REGISTRATIONS = [
    ({"name": "n", "description": "d"}, "id"),
    ({"id": ID, "description": "d"}, "name"),
    ({"id": ID, "name": "n"}, "description"),
    ({"id": 5, "name": "n", "description": "d"}, "id"),
    ({"id": ID, "name": None, "description": "d"}, "name"),
    ({"id": "shoe", "name": "n", "description": "d"}, "id"),
    ([], "body"),
]


class Client:
    def __init__(self, **settings: Any) -> None:
        self.application: Callable[[Request], Answer] = build(Settings(**settings))
        self.token: str | None = None

    def call(
        self, method: str, path: str, content: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {b"content-type": content_type.encode()}
        if self.token is not None:
            headers[b"bearer"] = self.token.encode()
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = self.application(Request(method, f"/api/v1{path}", "", headers, body))
        assert isinstance(answer, Response)
        return answer.status, json.loads(answer.body)

    def authenticate(self, bearer: str | None = None) -> "Client":
        self.token = bearer
        self.token = self.call("POST", "/auth")[1]["access_token"]
        return self

    def register(self, content: Any = GOOD, **further: Any) -> tuple[int, Any]:
        return self.call("POST", "/products/register", content, **further)

    def offers(self, product: str = ID) -> tuple[int, Any]:
        return self.call("GET", f"/products/{product}/offers")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def first() -> Client:
    return Client().authenticate()


@pytest.fixture
def second() -> Client:
    return Client(offers_refresh_token=REFRESH).authenticate(REFRESH)


@pytest.fixture(params=["first", "second"])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.getfixturevalue(request.param)
    return found


def test_a_registered_product_has_offers(client: Client) -> None:
    assert client.register() == (201, {"id": ID})
    status, offers = client.offers()
    assert status == 200
    assert offers
    assert all(set(offer) == {"id", "price", "items_in_stock"} for offer in offers)
    assert client.offers(ID.upper()) == (200, offers)


def test_two_simulators_with_one_seed_agree_and_forget_each_others_tokens() -> None:
    def offers(seed: int) -> tuple[int, Any]:
        client = Client(simulator_seed=seed, simulator_tick_seconds=1e9).authenticate()
        client.register()
        return client.offers()

    assert offers(3) == offers(3) != offers(4)
    token = Client().authenticate().token
    stranger = Client()
    stranger.token = token
    assert stranger.offers()[0] == 401


def test_undocumented_paths_and_methods_are_refused(client: Client) -> None:
    assert client.call("GET", "/nothing")[0] == 404
    assert client.call("GET", "/products/a/b/offers")[0] == 404
    assert client.call("GET", "/auth")[0] == 405
    assert client.call("DELETE", f"/products/{ID}/offers")[0] == 405


def test_first_generation_hands_out_a_new_token_every_time() -> None:
    client = Client()
    status, answer = client.call("POST", "/auth")
    assert status == 201
    assert set(answer) == {"access_token"}
    assert client.call("POST", "/auth")[1] != answer


def test_first_generation_ties_products_to_their_token(first: Client) -> None:
    first.register()
    owner = first.token
    first.authenticate()
    assert first.offers() == (404, {"code": "NOT FOUND", "msg": "The product is not registered"})
    first.token = owner
    assert first.offers()[0] == 200


def test_first_generation_registers_again_under_the_same_token(first: Client) -> None:
    assert first.register() == first.register() == (201, {"id": ID})


@pytest.mark.parametrize("token", [None, "", "nobody's"])
def test_first_generation_wants_its_token(first: Client, token: str | None) -> None:
    first.token = token
    unauthorized = (401, {"code": "UNAUTHORIZED", "msg": "Access token is missing or invalid"})
    assert first.register() == first.offers() == unauthorized


@pytest.mark.parametrize(("content", "field"), BAD_REGISTRATIONS)
def test_first_generation_names_what_is_wrong_with_a_registration(first: Client, content: Any, field: str) -> None:
    status, problem = first.register(content)
    assert (status, problem["code"]) == (400, "BAD_REQUEST")
    assert problem["msg"].startswith(f"{field}: ")


def test_first_generation_takes_json_only(first: Client) -> None:
    form = b"id=a&name=b&description=c"
    assert first.register(form, content_type="application/x-www-form-urlencoded")[1]["code"] == "BAD_REQUEST"
    assert first.register(content_type="application/x-www-form-urlencoded")[0] == 400
    assert first.register(b'{"id": ')[0] == 400
    assert first.register(content_type="application/json; charset=utf-8")[0] == 201


def test_first_generation_refuses_an_id_that_is_no_uuid(first: Client) -> None:
    assert first.offers("shoe") == (400, {"code": "BAD_REQUEST", "msg": "The product id is not a UUID"})
    assert first.offers()[1]["code"] == "NOT FOUND"


def test_second_generation_token_is_a_jwt_that_says_when_it_expires(second: Client) -> None:
    header, claims, _ = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in str(second.token).split(".")
    )
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert 200 < json.loads(claims)["expires"] - time.time() <= 300
    assert "exp" not in json.loads(claims)


def test_second_generation_renews_a_token_only_when_it_has_expired(
    second: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert second.register()[0] == 201
    old, second.token = second.token, REFRESH
    status, problem = second.call("POST", "/auth")
    assert (status, set(problem)) == (400, {"detail"})

    later = time.time() + 301
    monkeypatch.setattr(generation2, "time", type("time", (), {"time": staticmethod(lambda: later)}))
    second.token = old
    assert second.offers() == (401, {"detail": "Bad authentication"})
    second.authenticate(REFRESH)
    assert second.token != old
    assert second.offers()[0] == 200, "products belong to the account"


@pytest.mark.parametrize("path", ["/auth", f"/products/{ID}/offers"])
def test_second_generation_wants_its_tokens(second: Client, path: str) -> None:
    method = "POST" if path == "/auth" else "GET"
    second.token = "wrong"
    assert second.call(method, path) == (401, {"detail": "Bad authentication"})
    second.token = None
    status, problem = second.call(method, path)
    assert status == 422
    assert problem["detail"][0]["loc"] == ["header", "bearer"]


def test_second_generation_does_not_take_a_refresh_token_for_an_access_token(second: Client) -> None:
    second.token = REFRESH
    assert second.register()[0] == 401


def test_second_generation_conflicts_on_a_second_registration(second: Client) -> None:
    assert second.register()[0] == 201
    assert second.register({**GOOD, "id": ID.upper()}) == (409, {"detail": "Product ID already registered"})


@pytest.mark.parametrize(("content", "field"), BAD_REGISTRATIONS)
def test_second_generation_names_what_is_wrong_with_a_registration(second: Client, content: Any, field: str) -> None:
    status, problem = second.register(content)
    assert status == 422
    assert problem["detail"][0]["loc"][-1] == field


def test_second_generation_refuses_forms_and_ids_that_are_no_uuids(second: Client) -> None:
    assert second.register(content_type="application/x-www-form-urlencoded")[0] == 422
    assert second.offers("shoe")[0] == 422
    assert second.offers()[0] == 404
