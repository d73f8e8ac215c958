"""A problem: how HTTP is told what is wrong, as `application/problem+json` (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[dict[str, HTTPStatus]] = {
    "bad_body": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unknown_kind": HTTPStatus.UNPROCESSABLE_ENTITY,
    "send_id_conflict": HTTPStatus.CONFLICT,
    "membership_over": HTTPStatus.NOT_FOUND,
    "not_allowed": HTTPStatus.FORBIDDEN,
    "already_member": HTTPStatus.CONFLICT,
    "not_a_member": HTTPStatus.NOT_FOUND,
    "last_owner": HTTPStatus.CONFLICT,
    "group_full": HTTPStatus.CONFLICT,
    "skipped": HTTPStatus.CONFLICT,
    "storage_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "not_taken": HTTPStatus.NOT_FOUND,
    "out_of_turn": HTTPStatus.CONFLICT,
    "slow_down": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "no_answer": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unknown": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_away": HTTPStatus.SERVICE_UNAVAILABLE,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_such_group": HTTPStatus.NOT_FOUND,
    "no_such_entry": HTTPStatus.NOT_FOUND,
    "no_such_user": HTTPStatus.NOT_FOUND,
    "no_such_key": HTTPStatus.NOT_FOUND,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "bad_request": HTTPStatus.BAD_REQUEST,
    "bad_limit": HTTPStatus.BAD_REQUEST,
    "bad_cursor": HTTPStatus.BAD_REQUEST,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "token_expired": HTTPStatus.UNAUTHORIZED,
    "token_invalid": HTTPStatus.UNAUTHORIZED,
    "signed_out": HTTPStatus.UNAUTHORIZED,
    "key_revoked": HTTPStatus.UNAUTHORIZED,
    "deactivated": HTTPStatus.FORBIDDEN,
    "bad_position": HTTPStatus.BAD_REQUEST,
    "unsupported_version": HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "too_many_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "server_draining": HTTPStatus.SERVICE_UNAVAILABLE,
    "server_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of every code that a request over HTTP can be answered with."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is for programs, `title` and `detail` for people.

    `definite` true: it did not happen, and never will under this Idempotency-Key. False: it may have happened, or may
    yet; the same request with the same key is safe and settles it. Left out: it did not happen.
    """

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""
    definite: bool | msgspec.UnsetType = msgspec.UNSET
    retry_after_ms: int = 0


def problem(
    status: HTTPStatus,
    code: str,
    detail: str = "",
    *,
    definite: bool | msgspec.UnsetType = msgspec.UNSET,
    retry_after_ms: int = 0,
) -> bytes:
    """The JSON of a problem."""
    return msgspec.json.encode(
        Problem(
            title=status.phrase,
            status=int(status),
            code=code,
            detail=detail,
            definite=definite,
            retry_after_ms=retry_after_ms,
        )
    )


def problem_response(status: HTTPStatus, code: str, detail: str = "", more: Sequence[str] = ()) -> bytes:
    """A whole HTTP response, for where there is no application to ask; the connection is to be closed after it.

    `more`: further lines of headers.
    """
    body = problem(status, code, detail)
    lines = (
        f"HTTP/1.1 {int(status)} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
        *more,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
