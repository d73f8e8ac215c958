"""A client of bare bytes that may break every rule of HTTP and WebSocket: for tests of how a port bears it."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Final

import msgspec

from folkmoot.protocol.events import SUBPROTOCOL_JSON

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

WAIT_S_MAX: Final = 10.0
_MASK: Final = bytes((0x11, 0x22, 0x33, 0x44))


class Answer(msgspec.Struct, frozen=True):
    """An HTTP response: header names in lower case, and what came of its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RudeClient:
    """One TCP connection. Every wait is bounded by WAIT_S_MAX and raises TimeoutError past it."""

    trusting: ClassVar[ssl.SSLContext | None] = None
    """With one, all connections speak TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port: int, *, host: str = "127.0.0.1") -> AsyncIterator["RudeClient"]:
        """Connected, nothing said yet."""
        async with asyncio.timeout(WAIT_S_MAX):
            reader, writer = await asyncio.open_connection(host, port, ssl=cls.trusting)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    @classmethod
    @contextlib.asynccontextmanager
    async def upgraded(cls, port: int) -> AsyncIterator["RudeClient"]:
        """Connected, with the WebSocket handshake done."""
        async with cls.connect(port) as client:
            client.say(upgrade_request())
            answer = await client.answer()
            assert answer.status == 101, answer
            yield client

    def say(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def flush(self) -> None:
        """Return once most of what was said is the system's to send. Raises ConnectionError where nobody takes it."""
        async with asyncio.timeout(WAIT_S_MAX):
            await self.writer.drain()

    async def answer(self) -> Answer:
        """The next HTTP response; its body as far as Content-Length goes."""
        async with asyncio.timeout(WAIT_S_MAX):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split(" ")[1]), headers, body)

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame's opcode and payload, or None where the connection ends."""
        async with asyncio.timeout(WAIT_S_MAX):
            try:
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
                return first & 0x0F, await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def close_code(self) -> int | None:
        """The code of the next close frame, what comes before it passed over; None where the connection just ends."""
        while (frame := await self.frame()) is not None:
            if frame[0] == CLOSE:
                return int.from_bytes(frame[1][:2])
        return None

    async def ended(self) -> None:
        """Return once the other end has closed."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(WAIT_S_MAX):
                while await self.reader.read(65_536):
                    pass


def upgrade_request(
    path: str = "/v1/socket",
    *,
    connection: str = "Upgrade",
    version: str | None = "13",
    key: str | None = "MDEyMzQ1Njc4OWFiY2RlZg==",
    subprotocols: Sequence[str] = (SUBPROTOCOL_JSON,),
    extra: Sequence[tuple[str, str]] = (),
    host: str | None = "localhost",
) -> bytes:
    """A request for a WebSocket; what is None is left out."""
    headers: list[tuple[str, str | None]] = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", connection),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", version),
        *(("Sec-WebSocket-Protocol", name) for name in subprotocols),
        *extra,
    ]
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers if value is not None)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def client_frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, reserved: int = 0, size: int = -1
) -> bytes:
    """A client's frame; `size` is what its header claims where that is not the truth."""
    size = len(payload) if size < 0 else size
    mask_bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65_536:
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8)
    if not masked:
        return head + payload
    mask = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    blended = int.from_bytes(payload) ^ int.from_bytes(mask)
    return head + _MASK + blended.to_bytes(len(payload))
