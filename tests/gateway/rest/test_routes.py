"""The router has every call, and each says what a document needs of it."""

from typing import Any

from litestar import Litestar

from folkmoot.gateway.problem import STATUS
from folkmoot.gateway.rest.described import GIVES, REFUSES
from folkmoot.gateway.rest.routes import rest_router

OPERATIONS = {
    "GET /v1/groups", "POST /v1/groups", "GET /v1/groups/{group}", "PATCH /v1/groups/{group}",
    "DELETE /v1/groups/{group}", "GET /v1/groups/{group}/members", "POST /v1/groups/{group}/members",
    "DELETE /v1/groups/{group}/members/{user}", "PUT /v1/groups/{group}/members/{user}/role",
    "POST /v1/groups/{group}/join", "POST /v1/groups/{group}/messages", "GET /v1/groups/{group}/entries",
    "GET /v1/groups/{group}/entries/{seq}", "GET /v1/groups/{group}/read", "PUT /v1/groups/{group}/read",
    "GET /v1/groups/{group}/stream", "POST /v1/stream",
    "GET /v1/chats", "GET /v1/me", "GET /v1/users", "GET /v1/users/{user}", "PUT /v1/users/{user}",
    "PUT /v1/users/{user}/active", "POST /v1/users/{user}/sign-out", "POST /v1/users/{user}/tokens",
    "GET /v1/keys", "POST /v1/keys", "DELETE /v1/keys/{key_id}",
    "GET /v1/openapi.json", "GET /v1/docs", "GET /v1/docs/docs.js", "GET /v1/docs/docs.css",
}  # fmt: skip


def handlers() -> dict[str, Any]:
    app = Litestar([rest_router()], openapi_config=None, logging_config=None)
    return {
        f"{method} {route.path_format}": handler
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if method != "OPTIONS"
    }


def test_every_call_is_there() -> None:
    assert set(handlers()) == OPERATIONS


def test_every_call_says_what_it_gives_and_refuses() -> None:
    for name, handler in handlers().items():
        if handler.resolve_include_in_schema():
            assert handler.opt[GIVES].__doc__, name
            assert set(handler.opt[REFUSES]) <= set(STATUS), name
