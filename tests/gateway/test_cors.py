"""CORS: pages of allowed origins may ask and read the answers, others are told nothing, and the list can change."""

from typing import Any

import pytest
from litestar.testing import TestClient

from folkmoot.gateway.app import build_app
from folkmoot.gateway.cors import HEADERS_ALLOWED, Cors

PAGE = "https://app.example"


@pytest.fixture
def cors() -> Cors:
    return Cors([PAGE])


@pytest.fixture
def client(cors: Cors) -> TestClient[Any]:
    async def nothing(*_: object) -> str:
        return ""

    async def metrics() -> tuple[bytes, str]:
        return b"", ""

    async def everybody(_: str | None) -> None: ...

    return TestClient(build_app(why_not_ready=nothing, metrics=metrics, metrics_for=everybody, version="1", cors=cors))


def preflight(client: TestClient[Any], origin: str, method: str = "POST", headers: str = "authorization") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options("/healthz", headers=asked)


def test_a_page_that_is_allowed_may_send_what_the_doors_take(client: TestClient[Any]) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = preflight(client, PAGE, method, ", ".join(HEADERS_ALLOWED).lower())
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert method in answer.headers["access-control-allow-methods"]
        allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
        assert {name.lower() for name in HEADERS_ALLOWED} <= allowed
        assert "access-control-allow-credentials" not in answer.headers


def test_it_may_read_answers_and_how_long_to_wait_errors_too(client: TestClient[Any]) -> None:
    for path in ("/healthz", "/nowhere"):
        answer = client.get(path, headers={"Origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://other.example", "http://app.example", f"{PAGE}:444", "null", f"{PAGE}.x"])
def test_other_pages_may_not(client: TestClient[Any], origin: str) -> None:
    assert preflight(client, origin).status_code == 400
    assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": origin}).headers


def test_a_method_or_header_that_no_door_takes_is_not_allowed(client: TestClient[Any]) -> None:
    assert preflight(client, PAGE, "TRACE").status_code == 400
    assert preflight(client, PAGE, "GET", "cookie").status_code == 400


def test_without_origins_no_other_page_may_and_with_a_star_all(cors: Cors, client: TestClient[Any]) -> None:
    cors.apply([])
    assert preflight(client, PAGE).status_code == 400
    assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": PAGE}).headers
    cors.apply(["*"])
    assert preflight(client, "https://anyone.example").headers["access-control-allow-origin"] == "*"
    assert client.get("/healthz", headers={"Origin": "https://a.example"}).headers["access-control-allow-origin"] == "*"
    cors.apply(["https://new.example"])
    assert preflight(client, "https://new.example").status_code == 204
    assert preflight(client, PAGE).status_code == 400
    answer = client.get("/healthz", headers={"Origin": "https://new.example"})
    assert answer.headers["access-control-allow-origin"] == "https://new.example"
