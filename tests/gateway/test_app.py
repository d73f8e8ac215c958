"""The HTTP side, asked as a server would ask it: health, metrics, the page, and problems for the rest."""

import asyncio
import json
import logging
import re
from http import HTTPStatus
from typing import Any

import pytest

from folkmoot.gateway.access import AccessRefused
from folkmoot.gateway.app import BODY_BYTES_MAX, HEADERS, build_app
from folkmoot.gateway.problem import MEDIA_TYPE
from folkmoot.testing.rude_client import Answer


def ask(
    path: str,
    *,
    method: str = "GET",
    why: str = "",
    query: bytes = b"",
    body: bytes = b"",
    broken: bool = False,
    credential: str | None = "Bearer good",
) -> Answer:
    """What the application answers to whoever brings `credential`."""

    async def metrics() -> tuple[bytes, str]:
        if broken:
            raise RuntimeError("the metrics are broken")
        return b"up 1\n", "text/plain; version=1; charset=utf-8"

    async def why_not() -> str:
        return why

    async def metrics_for(authorization: str | None) -> None:
        if authorization == "Bearer often":
            raise AccessRefused(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "too often", 1.25)
        if authorization != "Bearer good":
            raise AccessRefused(HTTPStatus.UNAUTHORIZED, "token_invalid", "who are you?")

    app: Any = build_app(why_not_ready=why_not, metrics=metrics, metrics_for=metrics_for, version="9.8.7")
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query, "client": ("192.0.2.1", 1),
        "server": ("192.0.2.2", 80), "headers": [(b"host", b"x"), (b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    if credential is not None:
        scope["headers"].append((b"authorization", credential.encode()))  # type: ignore[attr-defined]
    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


def test_health_says_alive_and_readiness_what_it_is_told() -> None:
    assert ask("/healthz", why="starting").json() == {"status": "alive"}
    assert (ask("/readyz").status, ask("/readyz").json()) == (200, {"status": "ready"})
    answer = ask("/readyz", why="starting")
    assert (answer.status, answer.json()) == (503, {"status": "not ready", "why": "starting"})


def test_metrics_are_passed_on_with_their_type() -> None:
    answer = ask("/metrics")
    assert answer.body == b"up 1\n"
    assert answer.headers["content-type"] == "text/plain; version=1; charset=utf-8"


def test_metrics_are_for_whoever_may_and_health_is_for_all() -> None:
    for credential in (None, "Bearer bad", ""):
        answer = ask("/metrics", credential=credential)
        assert (answer.status, answer.json()["code"]) == (401, "token_invalid")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"
        assert b"up 1" not in answer.body
        assert (ask("/healthz", credential=credential).status, ask("/readyz", credential=credential).status) == (
            200,
            200,
        )
    answer = ask("/metrics", credential="Bearer often")
    assert (answer.status, answer.headers["retry-after"], answer.json()["retry_after_ms"]) == (429, "2", 1_250)


def test_the_page_says_what_this_is_and_loads_nothing() -> None:
    answer = ask("/")
    page = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    assert "9.8.7" in page
    assert "/v1/socket" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", page)


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/nowhere"])
def test_every_answer_carries_the_headers_that_keep_pages_safe(path: str) -> None:
    headers = ask(path).headers
    for name, value in HEADERS.items():
        assert headers[name.lower()] == value


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/nowhere", "GET", 404, "not_found"),
        ("/v1/socket", "GET", 404, "not_found"),
        ("/../etc/passwd", "GET", 404, "not_found"),
        ("/healthz", "POST", 405, "method_not_allowed"),
        ("/docs", "GET", 404, "not_found"),
        ("/schema", "GET", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_a_problem(path: str, method: str, status: int, code: str) -> None:
    answer = ask(path, method=method, body=b"x" if method == "POST" else b"")
    assert (answer.status, answer.json()["status"], answer.json()["code"]) == (status, status, code)
    assert answer.headers["content-type"].startswith(MEDIA_TYPE)


def test_a_method_that_is_not_taken_is_answered_with_those_that_are() -> None:
    assert set(ask("/healthz", method="POST").headers["allow"].split(", ")) == {"GET", "OPTIONS"}


def test_a_fault_of_ours_is_logged_and_tells_a_stranger_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = ask("/metrics", broken=True, query=b"token=hush-hush")
    assert answer.status == 500
    assert answer.json() == {"title": "Internal Server Error", "status": 500, "code": "server_error"}
    assert "the metrics are broken" in caplog.text
    assert "hush-hush" not in caplog.text + json.dumps([r.__dict__ for r in caplog.records], default=str)


def test_a_long_body_changes_nothing() -> None:
    assert ask("/healthz", body=b"x" * (2 * BODY_BYTES_MAX)).status == 200
