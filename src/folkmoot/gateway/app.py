"""The HTTP side: health, metrics and a first page. What is asked for is handed in, so it depends on no role."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.datastructures import ResponseHeader, State
from litestar.exceptions import HTTPException, ValidationException

from folkmoot.gateway.access import AccessRefused
from folkmoot.gateway.cors import Cors
from folkmoot.gateway.problem import MEDIA_TYPE, problem

BODY_BYTES_MAX: Final = 65_536
"""Of a request. A longer one is answered 413."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)


def build_app(
    *,
    why_not_ready: Callable[[], Awaitable[str]],
    metrics: Callable[[], Awaitable[tuple[bytes, str]]],
    metrics_for: Callable[[str | None], Awaitable[None]],
    version: str,
    cors: Cors | None = None,
    routers: Sequence[Router] = (),
    state: Mapping[str, object] = MappingProxyType({}),
) -> Litestar:
    """The ASGI application.

    `why_not_ready` says "" where sends are taken; `metrics` what Prometheus reads, and its content type;
    `metrics_for` gets the header `Authorization` of whoever asks for them, and raises AccessRefused.
    `cors`: which pages of others may ask. `routers`: what else is served; `state`: where their handlers find what they
    need, by name.
    """
    page = resources.files(__package__).joinpath("pages/index.html").read_text().replace("{version}", version)

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index() -> str:
        return page

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @get("/readyz")
    async def readyz() -> Response[dict[str, str]]:
        why = await why_not_ready()
        if not why:
            return Response({"status": "ready"})
        return Response({"status": "not ready", "why": why}, status_code=503)

    @get("/metrics")
    async def read_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        await metrics_for(request.headers.get("authorization"))
        content, media_type = await metrics()
        # As a header: Litestar would name the charset a second time, and Prometheus' parser takes that for an error.
        return Response(content, headers={"Content-Type": media_type})

    return Litestar(
        [index, healthz, readyz, read_metrics, *routers],
        state=State(dict(state)),
        openapi_config=None,
        cors_config=cors,
        exception_handlers={AccessRefused: _refusal, HTTPException: _http_problem, Exception: _fault},
        response_headers=[ResponseHeader(name=name, value=value) for name, value in HEADERS.items()],
        logging_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )


def _http_problem(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    detail = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        # Its own text has the whole address: this names what was wrong with it.
        detail = "; ".join(f"{one.get('key', '')}: {one.get('message', '')}" for one in error.extra)[:300]
    answer = _problem(error.status_code, detail)
    if error.headers and "allow" in error.headers:
        answer.headers["Allow"] = error.headers["allow"]
    return answer


def problem_response(
    status: HTTPStatus,
    code: str,
    detail: str = "",
    *,
    definite: bool | msgspec.UnsetType = msgspec.UNSET,
    retry_after_ms: int = 0,
) -> Response[bytes]:
    """A problem as the answer to a request, with the headers that go with it."""
    # The application's own headers do not reach an answer of an exception handler.
    headers = dict(HEADERS)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if retry_after_ms:
        headers["Retry-After"] = str(math.ceil(retry_after_ms / 1_000))
    body = problem(status, code, detail, definite=definite, retry_after_ms=retry_after_ms)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _refusal(_: Request[Any, Any, Any], refused: AccessRefused) -> Response[bytes]:
    return problem_response(
        refused.status, refused.code, refused.detail, retry_after_ms=math.ceil(refused.retry_after_s * 1_000)
    )


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # The path only: a query may hold what no log should.
    _log.error(
        "a request failed",
        exc_info=error,
        extra={"path": request.url.path[:200], "peer": request.client.host if request.client else ""},
    )
    return _problem(500, "")


def _problem(status: int, detail: str) -> Response[bytes]:
    known = HTTPStatus(status)
    return problem_response(known, _code(status), "" if detail == known.phrase else detail)


def _code(status: int) -> str:
    known = {404: "not_found", 405: "method_not_allowed", 413: "too_long"}
    return known.get(status, "bad_request" if status < 500 else "server_error")
