"""A reader of Server-Sent Events over a real socket, without wits: for tests of streams."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

WAIT_S_MAX: Final = 10.0


class Heard(msgspec.Struct, frozen=True):
    """One event of a stream: its name, the last event id as it stands with it, and its data, read as JSON."""

    name: str
    id: str
    data: dict[str, Any]


class SseClient(asyncio.Protocol):
    """Asks once, keeps what it hears in order, and how it ended. Every wait is bounded and raises TimeoutError.

    Where the answer is no stream, `status` and `body` say what it is.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.events: list[Heard] = []
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self.finished = False
        self.lost = False
        self._raw = bytearray()
        self._text = bytearray()
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def asks(
        cls,
        port: int,
        path: str,
        token: str | None,
        *,
        last_event_id: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        version: str = "1.1",
        receive_bytes: int | None = None,
        host: str = "127.0.0.1",
    ) -> "SseClient":
        """A reader that has the head of its answer. With a `body` it posts that as JSON.

        `receive_bytes`: how much the system may hold for it unread, to play a slow reader with `stop_reading`.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S_MAX):
            _, client = await loop.create_connection(cls, host, port)
        if receive_bytes is not None:
            client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        asked = {"Host": host, "Accept": "text/event-stream"} | dict(headers or {})
        if token is not None:
            asked["Authorization"] = f"Bearer {token}"
        if last_event_id is not None:
            asked["Last-Event-ID"] = last_event_id
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            asked |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in asked.items()]
        client.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await client.until(lambda: client.status != 0 or client.lost)
        return client

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def stop_reading(self) -> None:
        self.transport.pause_reading()

    def read_on(self) -> None:
        self.transport.resume_reading()

    def drop(self) -> None:
        """The connection breaks."""
        self.transport.abort()

    def all(self, name: str) -> list[Heard]:
        return [event for event in self.events if event.name == name]

    def seqs(self, group: str) -> list[int]:
        """The numbers of the group's entries as they were heard."""
        return [event.data["seq"] for event in self.all("entry") if event.data["group"] == group]

    async def wait(self, name: str, **fields: Any) -> dict[str, Any]:
        """The data of the first event of a name with these fields, once it is there."""

        def found() -> dict[str, Any] | None:
            matching = (e.data for e in self.all(name) if all(e.data.get(k) == v for k, v in fields.items()))
            return next(matching, None)

        await self.until(lambda: found() is not None)
        data = found()
        assert data is not None
        return data

    async def ended(self) -> str:
        """The code of the goodbye, "" where there was none, once the connection is gone."""
        await self.until(lambda: self.lost)
        goodbyes = self.all("goodbye")
        return str(goodbyes[-1].data["code"]) if goodbyes else ""

    async def problem(self) -> tuple[int, str]:
        """Status and code of an answer that is no stream."""
        await self.until(lambda: self.finished)
        return self.status, json.loads(self.body)["code"]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no instances of it.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if not self.status:
            self._take_head()
        if self.status:
            self._take_body()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def _take_head(self) -> None:
        head, found, rest = bytes(self._raw).partition(b"\r\n\r\n")
        if not found:
            return
        self._raw = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.status = int(first.split(" ")[1])

    def _take_body(self) -> None:
        if self.headers.get("transfer-encoding") != "chunked":
            self.body = bytes(self._raw)
            self.finished = len(self.body) >= int(self.headers.get("content-length", "0"))
            return
        while not self.finished:
            size_text, found, rest = self._raw.partition(b"\r\n")
            if not found:
                break
            size = int(size_text, 16)
            if len(rest) < size + 2:
                break
            assert rest[size : size + 2] == b"\r\n"
            self._text += rest[:size]
            self._raw = rest[size + 2 :]
            self.finished = size == 0
        while b"\n\n" in self._text:
            block, _, self._text = self._text.partition(b"\n\n")
            self._take_block(block.decode().split("\n"))

    def _take_block(self, lines: list[str]) -> None:
        name, data = "message", []
        for line in lines:
            field, _, value = line.partition(": ")
            if field == "":
                self.comments += 1
            elif field == "event":
                name = value
            elif field == "id":
                self.last_event_id = value
            elif field == "retry":
                self.retry_ms = int(value)
            elif field == "data":
                data.append(value)
        if data:
            self.events.append(Heard(name, self.last_event_id, json.loads("\n".join(data))))
