"""The WebSocket handshake: which requests for one are accepted, and with which codec."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDict

from folkmoot.gateway.problem import problem_response
from folkmoot.protocol.codec import CODECS, Codec

PATH: Final = "/v1/socket"
_KEY_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ: Final = (b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is judged by. `origins`: whose pages may connect beside those of the server's own host.

    `host`: what was asked for, where the request's own header does not say it. `is_https`: it surely was by https.
    """

    connections_max: int
    origins: tuple[str, ...]
    host: str = ""
    is_https: bool = False


class UpgradeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a WebSocket: what is judged of it."""

    method: str
    path: bytes
    headers: CIMultiDict[str]


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is turned away."""

    status: HTTPStatus
    code: str
    detail: str

    def response(self) -> bytes:
        """A whole HTTP response; the connection is to be closed after it."""
        needed = ("sec-websocket-version: 13", "upgrade: websocket")
        more = needed if self.status is HTTPStatus.UPGRADE_REQUIRED else ()
        return problem_response(self.status, self.code, self.detail, more)


def judge(request: UpgradeRequest, terms: Terms, connections: int) -> Codec | Refusal:
    """The codec to speak, or why not. `connections` are open already."""
    headers = request.headers
    if request.path != PATH.encode():
        # A query would be where a token ends up in the logs of everything on the way.
        return Refusal(HTTPStatus.NOT_FOUND, "not_found", f"the socket is at {PATH}, and takes no query")
    if request.method != "GET":
        return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "a socket is asked for with GET")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        return Refusal(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", "WebSocket version 13 is spoken here")
    if not _is_key(headers.get("Sec-WebSocket-Key", "").strip()):
        return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "Sec-WebSocket-Key is not 16 bytes in base64")
    host = terms.host or headers.get("Host", "")
    if not origin_allowed(headers.get("Origin"), host, terms.origins, is_https=terms.is_https):
        return Refusal(HTTPStatus.FORBIDDEN, "origin_not_allowed", "pages of this origin may not connect")
    if connections >= terms.connections_max:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "try again later")
    offered = [name.strip() for line in headers.getall("Sec-WebSocket-Protocol", []) for name in line.split(",")]
    codec = next((CODECS[name] for name in offered if name in CODECS), None)
    if codec is None:
        known = ", ".join(CODECS)
        return Refusal(HTTPStatus.BAD_REQUEST, "unsupported_version", f"offer a sub-protocol of: {known}")
    return codec


def origin_allowed(origin: str | None, host: str, origins: tuple[str, ...], *, is_https: bool = False) -> bool:
    """A program sends no Origin; a page's has to be listed, or be of the host asked for."""
    if origin is None or "*" in origins or origin in origins:
        return True
    try:
        own = urlsplit(origin)
    except ValueError:
        return False
    # A page that came in the clear could be anybody's, where the server itself cannot be asked but by https.
    return own.netloc != "" and own.netloc.lower() == host.strip().lower() and (own.scheme == "https" or not is_https)


def origin_fault(text: str) -> str:
    """What is wrong with an origin in a list of allowed ones, or ""."""
    if text == "*":
        return ""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or text != f"{parts.scheme}://{parts.netloc}".lower() or "@" in text or "*" in text:
        return "an origin is https://host, https://host:port in lower case, or * alone for all"
    return ""


def upgrade_request(method: str, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> UpgradeRequest:
    """The request, with only the headers that are judged. `headers`: names in lower case."""
    read = CIMultiDict[str]()
    for name, value in headers:
        if name in _READ:
            read.add(name.decode("latin-1"), value.decode("latin-1"))
    return UpgradeRequest(method=method, path=url, headers=read)


def acceptance(request: UpgradeRequest, codec: Codec) -> bytes:
    """The answer to a request that was judged good (RFC 6455, 4.2.2)."""
    key = request.headers["Sec-WebSocket-Key"].strip().encode("latin-1")
    proof = base64.b64encode(hashlib.sha1(key + _KEY_GUID, usedforsecurity=False).digest()).decode()
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {proof}",
        f"Sec-WebSocket-Protocol: {codec.subprotocol}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.encode("ascii"), validate=True)) == 16
    except (UnicodeEncodeError, binascii.Error):
        return False
