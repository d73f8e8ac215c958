"""The HTTP side: health, metrics and a first page. What is asked for is handed in, so it depends on no role."""

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_app(*, ready: Callable[[], bool], metrics: Callable[[], tuple[bytes, str]], version: str) -> Litestar:
    """The ASGI application. `ready`: sends are taken. `metrics`: what Prometheus reads, and its content type."""
    page = resources.files(__package__).joinpath("pages/index.html").read_text().replace("{version}", version)

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index() -> str:
        return page

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[dict[str, str]]:
        if ready():
            return Response({"status": "ready"})
        return Response({"status": "not ready"}, status_code=503)

    @get("/metrics", sync_to_thread=False)
    def read_metrics() -> Response[bytes]:
        content, media_type = metrics()
        return Response(content, media_type=media_type)

    return Litestar(
        [index, healthz, readyz, read_metrics],
        openapi_config=None,
        exception_handlers={HTTPException: _problem},
        response_headers=[ResponseHeader(name=name, value=value) for name, value in HEADERS.items()],
        logging_config=None,
        request_max_body_size=65_536,
    )


def _problem(_: Request[Any, Any, Any], error: HTTPException) -> Response[Mapping[str, Any]]:
    body = {"type": "about:blank", "title": error.detail, "status": error.status_code, "code": _code(error.status_code)}
    return Response(body, status_code=error.status_code, media_type="application/problem+json")


def _code(status: int) -> str:
    return {404: "not_found", 405: "not_allowed"}.get(status, "bad_request" if status < 500 else "server_error")
