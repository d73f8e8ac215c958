"""`/v1/openapi.json`, and `/v1/docs`: the page on which every call can be tried. Nothing is loaded from elsewhere."""

import asyncio
from importlib import resources
from typing import Any, Final

import msgspec
from litestar import Request, Response, get

from folkmoot.gateway.rest.desk import JSON, desk_of

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""Only what this server itself serves, and only of these kinds."""

_FILES: Final = resources.files("folkmoot.gateway").joinpath("pages")
_made: dict[str, bytes] = {}


@get("/openapi.json", include_in_schema=False)
async def read_document(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenAPI document, made when it is first asked for."""
    version = desk_of(request).version
    if version not in _made:
        # In a thread: it takes a tenth of a second, for which no socket should wait.
        _made[version] = await asyncio.to_thread(_document, version)
    return Response(_made[version], media_type=JSON)


@get("/docs", include_in_schema=False, sync_to_thread=False)
def read_page() -> Response[bytes]:
    """The page."""
    return _file("docs.html", "text/html")


@get("/docs/docs.js", include_in_schema=False, sync_to_thread=False)
def read_script() -> Response[bytes]:
    """What moves it."""
    return _file("docs.js", "text/javascript")


@get("/docs/docs.css", include_in_schema=False, sync_to_thread=False)
def read_style() -> Response[bytes]:
    """How it looks."""
    return _file("docs.css", "text/css")


HANDLERS: Final = (read_document, read_page, read_script, read_style)


def _document(version: str) -> bytes:
    # Here, since it describes the router that this is a part of.
    from folkmoot.gateway.rest.document import document

    return msgspec.json.encode(document(version))


def _file(name: str, media_type: str) -> Response[bytes]:
    content = _FILES.joinpath(name).read_bytes()
    return Response(content, media_type=media_type, headers={"Content-Security-Policy": POLICY})
