"""A real server in this process, and a client without wits over a real WebSocket: for tests of the wire."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from folkmoot.gateway.identity import mint, secret_of
from folkmoot.node.config import load_settings
from folkmoot.node.lifecycle import serve
from folkmoot.ports.clock import SystemClock
from folkmoot.protocol.events import SUBPROTOCOL_JSON
from folkmoot.router.service import FailPoint

WAIT_S_MAX = 10.0


class Served(msgspec.Struct, frozen=True):
    """A server that is ready: its base URL, and the directory of its data."""

    url: str
    data_dir: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/v1/socket"

    def token(self, user: str, *, lifetime_s: int = 3_600) -> str:
        return mint(secret_of(self.data_dir), user, lifetime_s=lifetime_s, now_ms=SystemClock().wall_ms())

    def operator(self) -> str:
        """A token of whoever runs the server."""
        now_ms = SystemClock().wall_ms()
        return mint(secret_of(self.data_dir), "operator", lifetime_s=3_600, now_ms=now_ms, operator=True)

    def rest(self, user: str = "", *, token: str | None = None, acting_as: str = "") -> httpx.AsyncClient:
        """A client of REST: with the user's own token, or with `token` ("": none), acting for a user where it says."""
        credential = self.token(user) if token is None else token
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        if acting_as:
            headers["Folkmoot-User"] = acting_as
        return httpx.AsyncClient(base_url=self.url + "/v1", headers=headers, timeout=WAIT_S_MAX, trust_env=False)

    async def client(self, user: str, *, device: str = "") -> "WireClient":
        """A client that has said hello."""
        client = await self.stranger()
        client.say({"t": "hello", "token": self.token(user), "versions": [1], "device": device})
        await client.wait("welcome")
        return client

    async def stranger(self) -> "WireClient":
        """A client that has said nothing yet."""
        headers = {"Sec-WebSocket-Protocol": SUBPROTOCOL_JSON}
        _, client = await ws_connect(WireClient, self.socket_url, extra_headers=headers)
        assert isinstance(client, WireClient)
        return client


class WireClient(WSListener):
    """Sends what it is told to, keeps what it hears in order, and how it ended."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.lost = False
        self._changed = asyncio.Event()
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.events.append(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
            transport.disconnect()
        self._changed.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.lost = True
        self._changed.set()

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    @property
    def transport(self) -> WSTransport:
        assert self._transport is not None
        return self._transport

    def say(self, event: dict[str, Any]) -> None:
        self.say_bytes(json.dumps(event).encode())

    def say_bytes(self, payload: bytes, kind: WSMsgType = WSMsgType.TEXT) -> None:
        self.transport.send(kind, payload)

    async def wait(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of a kind with these fields, once it is there."""

        def found() -> dict[str, Any] | None:
            return next((e for e in self.all(kind) if all(e.get(k) == v for k, v in fields.items())), None)

        await self.until(lambda: found() is not None)
        event = found()
        assert event is not None
        return event

    async def ended(self) -> tuple[str, int | None]:
        """The code of the goodbye and of the close frame, once the socket is gone."""
        await self.until(lambda: self.lost)
        goodbyes = self.all("goodbye")
        return (goodbyes[-1]["code"] if goodbyes else "", self.close_code)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["t"] == kind]

    def seqs(self, group: str) -> list[int]:
        return [event["seq"] for event in self.all("entry") if event["group"] == group]

    async def asked(self, kind: str, body: dict[str, Any], send_id: str, **fields: Any) -> dict[str, Any]:
        """Ask for an entry, and return the answer to it."""
        self.say({"t": "send", "id": send_id, "kind": kind, "body": body} | fields)
        answers = ("accepted", "refused", "undecided")
        start = len(self.events)

        def answer() -> dict[str, Any] | None:
            later = self.events[start:]
            return next((e for e in later if e["t"] in answers and e["id"] == send_id), None)

        await self.until(lambda: answer() is not None)
        found = answer()
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def served(data_dir: Path, *, fail_point: FailPoint | None = None, **settings: Any) -> AsyncIterator[Served]:
    """Serve on a free port of loopback until the block is left, then drain."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    chosen = load_settings({"port": 0, "data_dir": str(data_dir), "drain_spread_s": 0.0} | settings, {}, None)
    task = asyncio.create_task(serve(chosen, on_ready=ready.set_result, fail_point=fail_point, stop=stop))
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield Served(ready.result(), data_dir)
    finally:
        stop.set()
        await task
