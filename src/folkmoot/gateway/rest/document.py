"""The OpenAPI document: Litestar says what is where, our structs say what is in it, the error table what goes wrong."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from folkmoot.gateway.problem import MEDIA_TYPE, STATUS, Problem
from folkmoot.gateway.rest.described import GIVES, JSON, MEDIA, REFUSES, TAKES
from folkmoot.gateway.rest.routes import rest_router
from folkmoot.protocol.errors import CODES

ANYWHERE: Final = ("server_error",)
AROUND_BODIES: Final = ("too_long",)
"""Codes that come from the server around a handler: a fault of ours, and a request's body over its bound."""

ABOUT: Final = (
    "Everything but live events, which come over a [WebSocket](https://datatracker.ietf.org/doc/html/rfc6455) at"
    " `/v1/socket` and as Server-Sent Events. Every error is a problem (RFC 9457) with a `code` for programs."
)
EXAMPLES: Final[dict[str, Any]] = {
    "NewGroup": {"name": "Coffee", "members": ["user-2"]},
    "GroupName": {"name": "Coffee and tea"},
    "NewMembers": {"users": ["user-3"]},
    "Role": {"role": "admin"},
    "Following": {"others": True},
    "NewMessage": {"text": "Good morning"},
    "ReadTo": {"seq": 2},
    "NewProfile": {"name": "User One", "picture": "https://example.org/1.png", "data": {"colour": "blue"}},
    "Active": {"active": False},
    "SignOut": {"device": "phone"},
    "NewToken": {"lifetime_s": 3600},
    "NewKey": {"name": "the shop's backend", "scopes": ["read", "write"]},
}
"""Requests as people write them, by the name of their shape."""

REF: Final = "#/components/schemas/{name}"


def document(version: str) -> dict[str, Any]:
    """The whole document, as JSON has it. Takes some hundred milliseconds: made once, or kept in a file."""
    config = OpenAPIConfig(
        title="Folkmoot",
        version=version,
        description=ABOUT,
        use_handler_docstrings=True,
        path="/document",
        render_plugins=[JsonRenderPlugin()],
        operation_id_creator=lambda handler, _method, _path: handler.handler_name,
    )
    # Without a word on logging Litestar would set the whole process's up anew.
    app = Litestar([rest_router()], openapi_config=config, logging_config=None)
    made: dict[str, Any] = app.openapi_schema.to_schema()
    handlers = {
        handler.handler_name: handler.opt for route in app.routes for handler in getattr(route, "route_handlers", ())
    }
    shapes: set[Any] = {Problem}
    for path, methods in made["paths"].items():
        for operation in methods.values():
            said = handlers[operation["operationId"]]
            shapes |= {said[TAKES], said[GIVES] if said[MEDIA] == JSON else None} - {None}
            _complete(operation, path, said)
    made["components"] = {"schemas": _schemas(shapes), "securitySchemes": _SECURITY}
    made["security"] = [{"token": []}, {"key": []}]
    made["openapi"] = "3.1.0"
    made["servers"] = [{"url": "/"}]
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def _complete(operation: dict[str, Any], path: str, said: dict[str, Any]) -> None:
    """What Litestar cannot know of an operation: bodies, answers, problems, and to what it belongs."""
    operation["tags"] = [path.removeprefix("/v1/").partition("/")[0]]
    operation.pop("deprecated", None)
    takes, gives = said[TAKES], said[GIVES]
    if takes is not None:
        content = {JSON: _content(takes)}
        operation["requestBody"] = {"required": takes.__name__ not in _OPTIONAL, "content": content}
    status = next(status for status in operation["responses"] if status.startswith("2"))
    answer = {
        "description": _first_line(gives),
        "content": {said[MEDIA]: _content(gives) if said[MEDIA] == JSON else _TEXT},
    }
    operation["responses"] = {status: answer} | _problems(
        {*said[REFUSES], *ANYWHERE, *(AROUND_BODIES if takes is not None else ())}
    )


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    """Responses by status, each with the codes that it may have."""
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(int(STATUS[code]), []).append(code)
    answers: dict[str, Any] = {}
    for status, names in sorted(by_status.items()):
        answers[str(status)] = answer = {
            "description": "; ".join(f"`{name}`: {CODES[name].meaning}" for name in names),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name=Problem.__name__)}}},
        }
        if status in (429, 503):
            seconds = {"description": "After how many seconds to ask again.", "schema": {"type": "integer"}}
            answer["headers"] = {"Retry-After": seconds}
    return answers


def _content(shape: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(name=shape.__name__)}}
    if shape.__name__ in EXAMPLES:
        content["example"] = EXAMPLES[shape.__name__]
    return content


def _schemas(shapes: set[Any]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(
        sorted(shapes, key=lambda shape: shape.__name__), ref_template=REF.format(name="{name}")
    )
    return {name: _plain(schema) for name, schema in sorted(components.items())}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without defaults that are no JSON, and with one line breaking for another."""
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    return schema


def _first_line(shape: Any) -> str:
    return str(shape.__doc__ or "").strip().partition("\n")[0]


_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_OPTIONAL: Final = {"SignOut", "NewToken"}
_SECURITY: Final[dict[str, Any]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's own token.",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of a customer's backend. The header Folkmoot-User says for which user it acts.",
    },
}
