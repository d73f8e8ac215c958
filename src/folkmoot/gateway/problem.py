"""A problem: how HTTP is told what is wrong, as `application/problem+json` (RFC 9457)."""

from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is for programs, `title` and `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""


def problem(status: HTTPStatus, code: str, detail: str = "") -> bytes:
    """The JSON of a problem."""
    return msgspec.json.encode(Problem(title=status.phrase, status=int(status), code=code, detail=detail))


def problem_response(status: HTTPStatus, code: str, detail: str = "") -> bytes:
    """A whole HTTP response, for where there is no application to ask; the connection is to be closed after it."""
    body = problem(status, code, detail)
    lines = (
        f"HTTP/1.1 {int(status)} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
