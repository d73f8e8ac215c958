"""One WebSocket to the server: whole frames in and out, and the end of each read, so that a read is one batch."""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from picows import WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from folkmoot.client.errors import NotConnected
from folkmoot.protocol.events import SUBPROTOCOL_JSON

FRAME_BYTES_MAX: Final = 4_194_304
"""From the server: a page of entries with room to spare. A larger frame breaks the link."""

SOCKET_PATH: Final = "/v1/socket"
NORMAL_CLOSE: Final = 1000
LOST: Final = 1006
"""The close code of a link that broke without one."""


class LinkEnd(Protocol):
    """Who a link reports to."""

    def heard(self) -> None:
        """Something came in, be it a ping: once a read, before its frames are handed on."""

    def frame(self, payload: bytes) -> None:
        """One whole frame."""

    def read_done(self) -> None:
        """The frames that came in one read have all been handed on."""

    def lost(self, close_code: int) -> None:
        """The link is gone; nothing more is called."""


class Link(Protocol):
    """A connection as the client sees it."""

    def write(self, frames: Iterable[bytes]) -> None:
        """Hand text frames to the socket; nothing happens once the link is gone."""

    def close(self) -> None:
        """Take leave of the server; `lost` follows."""

    def abort(self) -> None:
        """Drop a link on which nothing is heard; `lost` follows."""


Connect: TypeAlias = Callable[[str, LinkEnd], Awaitable[Link]]
"""Opens a link to an address. Raises NotConnected."""


class PicowsLink(WSListener):
    """A link over picows. Answers pings itself, since picows would not tell of them and they are signs of life."""

    def __init__(self, end: LinkEnd) -> None:
        self._end = end
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._close_code = LOST
        self._read_begins = True

    @property
    def is_up(self) -> bool:
        return self._transport is not None

    def write(self, frames: Iterable[bytes]) -> None:
        transport = self._transport
        if transport is not None:
            for frame in frames:
                transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.send_close()
            self._transport.disconnect()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        end = self._end
        if self._read_begins:
            self._read_begins = False
            end.heard()
        kind = frame.msg_type
        if kind is WSMsgType.TEXT and frame.fin:
            end.frame(frame.get_payload_as_bytes())
        elif kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            self._part(frame)
        elif kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self._close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NORMAL_CLOSE
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        if frame.last_in_buffer:
            self._read_begins = True
            end.read_done()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._end.lost(self._close_code)

    def _part(self, frame: WSFrame) -> None:
        """Put together what a proxy has cut into fragments."""
        self._parts.append(frame.get_payload_as_bytes())
        self._parts_bytes += len(self._parts[-1])
        if self._parts_bytes > FRAME_BYTES_MAX:
            self.abort()
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            self._end.frame(whole)


def connecting(ca_file: Path | str = "") -> Connect:
    """What opens links to servers whose certificate is of the authority in `ca_file` (PEM), or "" of a public one.

    Raises ValueError where there is none in the file.
    """
    if not ca_file:
        return connect
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{ca_file}: no certificate of an authority ({error.strerror or error})") from error

    async def connect_trusting(url: str, end: LinkEnd) -> Link:
        return await connect(url, end, context if url.startswith("wss:") else None)

    return connect_trusting


async def connect(url: str, end: LinkEnd, trusting: ssl.SSLContext | None = None) -> Link:
    """A link to the server at `url` (see `socket_url`). Raises NotConnected."""
    link = PicowsLink(end)
    try:
        await ws_connect(
            lambda: link,
            url,
            ssl_context=trusting,
            enable_auto_pong=False,
            max_frame_size=FRAME_BYTES_MAX,
            extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL_JSON},
            logger_name="folkmoot",
        )
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted here ({error.verify_message}): name its authority in ca_file (--ca-file)"
        raise NotConnected(f"{url}: {why}") from error
    except (TimeoutError, OSError, WSHandshakeError) as error:
        raise NotConnected(f"{url}: {error or type(error).__name__}") from error
    if not link.is_up:
        # picows returns without a word where the far side goes away within the handshake.
        raise NotConnected(f"{url}: gone within the handshake")
    return link


def socket_url(url: str) -> str:
    """The socket's address for a server given as `http(s)://` or `ws(s)://` host and port. Raises ValueError."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError(f"{url!r} is not the address of a server: http://host:port")
    if "@" in parts.netloc or parts.query:
        raise ValueError("no names and no tokens in an address: the token is given beside it")
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, parts.netloc, path if path.endswith(SOCKET_PATH) else path + SOCKET_PATH, "", ""))
