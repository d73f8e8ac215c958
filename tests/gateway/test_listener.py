"""The one port: who dawdles is closed, who asks too much is turned away, and everyone else is served meanwhile."""

import asyncio
import contextlib
import gc
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import pytest
import uvloop

from folkmoot.gateway.listener import (
    HEAD_BYTES_MAX,
    PIPELINED_MAX,
    UNSENT_BYTES_MAX,
    Listener,
    ListenerSettings,
    raise_open_files,
)
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.problem import MEDIA_TYPE
from folkmoot.gateway.proxies import Proxies
from folkmoot.gateway.websocket import SocketSettings
from folkmoot.protocol.errors import CODES
from folkmoot.testing.rude_client import TEXT, Answer, RudeClient, client_frame, upgrade_request

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Parrot:
    """A connection that says back what it hears."""

    def __init__(self, outlet: Outlet, doors: "Doors") -> None:
        self.heard = 0
        self.outlet = outlet
        self._doors = doors

    def receive(self, payload: bytes, /) -> None:
        self.outlet.write(self.outlet.frame(payload))

    def sign_of_life(self) -> None: ...

    def paused(self) -> None: ...

    def resumed(self) -> None: ...

    def lost(self) -> None:
        self._doors.connections -= 1

    def end(self, code: str, detail: str = "") -> None:
        self.outlet.close(CODES[code].close, code)


class Doors:
    def __init__(self) -> None:
        self.connections = 0
        self.newest: Outlet | None = None

    def open(self, outlet: Outlet, /) -> Parrot:
        self.connections += 1
        self.newest = outlet
        return Parrot(outlet, self)


class HeldApp:
    """Answers `ok` with the length of the body, and `/held` only once it is released."""

    def __init__(self) -> None:
        self.doors = Doors()
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/held":
            self.asked.set()
            await self.release.wait()
        body = b"ok %d" % length
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


Test: TypeAlias = Callable[[int, Listener, HeldApp], Awaitable[None]]
Run: TypeAlias = Callable[..., None]


@contextlib.asynccontextmanager
async def listening(
    *, connections_max: int = 2_000, http_connections_max: int = 1_024, request_seconds_max: float = 10.0
) -> AsyncIterator[tuple[int, Listener, HeldApp]]:
    app = HeldApp()
    settings = ListenerSettings(
        port=0,
        sockets=SocketSettings(connections_max=connections_max),
        http_connections_max=http_connections_max,
        request_seconds_max=request_seconds_max,
    )
    listener = Listener(settings, app, app.doors)
    url = await listener.start()
    assert url.startswith("http://127.0.0.1:")
    try:
        yield int(url.rpartition(":")[2]), listener, app
    finally:
        await listener.stop_accepting()
        await listener.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test against a port, on either loop."""

    def run_on(test: Test, **settings: Any) -> None:
        async def body() -> None:
            async with listening(**settings) as (port, listener, app):
                await test(port, listener, app)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(body())

    return run_on


async def asked(port: int, raw: bytes = GET) -> Answer:
    async with RudeClient.connect(port) as client:
        client.say(raw)
        return await client.answer()


def is_problem(answer: Answer, status: int, code: str) -> bool:
    problem = answer.headers["content-type"] == MEDIA_TYPE
    return problem and (answer.status, answer.json()["code"]) == (status, code)


def test_http_and_websockets_share_the_port(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.upgraded(port) as client:
            assert (await asked(port)).body == b"ok 0"
            client.say(client_frame(b"hello"))
            assert await client.frame() == (TEXT, b"hello")

    run(test)


def test_a_connection_is_kept_for_request_after_request(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            for n in range(5):
                client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (n, b"b" * n))
                assert (await client.answer()).body == b"ok %d" % n

    run(test)


def test_a_port_that_is_taken_is_an_os_error_and_leaves_nothing_to_undo(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        second = Listener(ListenerSettings(port=port), app, Doors())
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop_accepting()
        await second.close()
        assert (await asked(port)).status == 200

    run(test)


@pytest.mark.parametrize(
    "dribble",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        b"\r\n",
        GET + b"GET / HTTP/1.1\r\n",
        GET + GET + b"G",
    ],
)
def test_who_does_not_finish_a_request_is_closed_and_others_are_not(run: Run, dribble: bytes) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as slow, RudeClient.connect(port) as waiting:
            # A whole request, whose answer takes longer than a request may take to come.
            waiting.say(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await app.asked.wait()
            slow.say(dribble)
            await slow.ended()
            app.release.set()
            assert (await waiting.answer()).body == b"ok 0"

    run(test, request_seconds_max=0.1)


@pytest.mark.parametrize("rest", [b"GET / HTTP/1.1\r\nX: ", b"\r\n", b"P"])
def test_a_second_request_has_no_longer_than_the_first(run: Run, rest: bytes) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as slow:
            slow.say(GET)
            assert (await slow.answer()).status == 200
            slow.say(rest)
            # uvicorn's own bound on idle connections is 5 s, and ends with the first byte.
            async with asyncio.timeout(4):
                await slow.ended()

    run(test, request_seconds_max=0.1)


def test_an_upgraded_socket_owes_no_request(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.upgraded(port) as client, RudeClient.connect(port) as slow:
            await slow.ended()
            client.say(client_frame(b"still here"))
            assert await client.frame() == (TEXT, b"still here")

    run(test, request_seconds_max=0.1)


def test_a_head_over_its_bound_is_turned_away_before_it_ends(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        for line in (b"GET /" + b"x" * 300_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 300_000):
            async with RudeClient.connect(port) as client:
                client.say(line)
                answer = await client.answer()
                assert is_problem(answer, 431, "head_too_large") or is_problem(answer, 400, "bad_request")
        async with RudeClient.connect(port) as client:
            client.say(b"GET / HTTP/1.1\r\n")
            for n in range(HEAD_BYTES_MAX // 100 + 1):
                client.say(b"h%d: %s\r\n" % (n, b"v" * 100))
            assert is_problem(await client.answer(), 431, "head_too_large")
            await client.ended()
        long = b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"y" * (HEAD_BYTES_MAX - 100))
        assert (await asked(port, long)).status == 200

    run(test)


@pytest.mark.parametrize("raw", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_is_a_problem(run: Run, raw: bytes) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            client.say(raw)
            assert is_problem(await client.answer(), 400, "bad_request")
            await client.ended()

    run(test)


def test_requests_sent_ahead_are_answered_in_order_up_to_a_bound(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            client.say(b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (n, b"x" * n) for n in range(10)))
            for n in range(10):
                assert (await client.answer()).body == b"ok %d" % n
        async with RudeClient.connect(port) as client:
            client.say(GET * (PIPELINED_MAX + 2))
            assert is_problem(await client.answer(), 400, "bad_request")
            await client.ended()

    run(test)


def test_past_the_bound_a_connection_is_turned_away_at_once(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(RudeClient.upgraded(port))
            for _ in range(2):
                client = await stack.enter_async_context(RudeClient.connect(port))
                client.say(GET)
                assert (await client.answer()).status == 200
            async with RudeClient.connect(port) as late:
                assert is_problem(await late.answer(), 503, "too_many_connections")
                await late.ended()
        # Those have left, or are about to.
        async with asyncio.timeout(5):
            while (await asked(port)).status == 503:
                pass

    run(test, connections_max=1, http_connections_max=2)


def test_sockets_have_a_bound_of_their_own(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.upgraded(port):
            assert is_problem(await asked(port, upgrade_request()), 503, "too_many_connections")
            assert (await asked(port)).status == 200

    run(test, connections_max=1)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (upgrade_request("/elsewhere"), 404, "not_found"),
        (upgrade_request(subprotocols=()), 400, "unsupported_version"),
        (upgrade_request(version="8"), 426, "upgrade_required"),
        (upgrade_request(extra=[("Origin", "https://elsewhere.example")]), 403, "origin_not_allowed"),
        (upgrade_request(extra=[("Origin", "http://[")]), 403, "origin_not_allowed"),
        (upgrade_request(key=None), 400, "bad_request"),
    ],
)
def test_an_upgrade_that_is_refused_is_a_problem_and_closes(run: Run, raw: bytes, status: int, code: str) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            client.say(raw)
            assert is_problem(await client.answer(), status, code)
            await client.ended()

    run(test)


@pytest.mark.parametrize(
    "raw",
    [
        upgrade_request(connection="keep-alive, Upgrade"),
        upgrade_request(extra=[("Cookie", "c" * 9_000)]),
        upgrade_request(extra=[("Origin", "http://localhost")]),
        upgrade_request(extra=[("Sec-WebSocket-Extensions", "permessage-deflate")]),
        upgrade_request(subprotocols=("other", "folkmoot.v1.json")),
    ],
)
def test_an_upgrade_as_browsers_send_it_is_taken(run: Run, raw: bytes) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            client.say(raw)
            answer = await client.answer()
            assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "folkmoot.v1.json")
            assert "sec-websocket-extensions" not in answer.headers
            client.say(client_frame(b"hello"))
            assert await client.frame() == (TEXT, b"hello")

    run(test)


def test_an_upgraded_socket_keeps_nothing_of_http(run: Run) -> None:
    def https() -> int:
        return sum(type(thing).__name__ == "HttpProtocol" for thing in gc.get_objects())

    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        before = https()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(RudeClient.upgraded(port))
            assert https() == before

    gc.collect()
    # Without a collection: what is left then is left by nobody.
    gc.disable()
    try:
        run(test)
    finally:
        gc.enable()


def test_who_does_not_read_fills_no_buffer_of_the_system(run: Run) -> None:
    room_bytes = 4_096

    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            await loop.sock_sendall(deaf, upgrade_request())
            assert b"101" in await loop.sock_recv(deaf, 1_024)
            outlet, written = app.doors.newest, 0
            assert outlet is not None
            while not outlet.buffered():
                outlet.write(bytes(400))
                written += 400
            assert written <= UNSENT_BYTES_MAX + 4 * room_bytes

    run(test)


def test_a_thousand_at_once_are_all_served(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async def one(n: int) -> None:
            async with RudeClient.upgraded(port) as client:
                client.say(client_frame(b"%d" % n))
                assert await client.frame() == (TEXT, b"%d" % n)

        await asyncio.gather(*(one(n) for n in range(1_000)))

    raise_open_files()
    run(test)


def test_a_port_that_accepts_no_more_keeps_who_is_there(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.upgraded(port) as client:
            await listener.stop_accepting()
            with pytest.raises(ConnectionError):
                async with RudeClient.connect(port):
                    pass
            client.say(client_frame(b"still here"))
            assert await client.frame() == (TEXT, b"still here")

    run(test)


def test_a_request_under_way_is_answered_before_the_end(run: Run) -> None:
    async def test(port: int, listener: Listener, app: HeldApp) -> None:
        async with RudeClient.connect(port) as client:
            client.say(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await app.asked.wait()
            await listener.stop_accepting()
            closing = asyncio.create_task(listener.close())
            app.release.set()
            assert (await client.answer()).body == b"ok 0"
            await client.ended()
            await closing

    run(test)


def test_ipv6_has_brackets_in_its_url() -> None:
    async def body() -> None:
        listener = Listener(ListenerSettings(host="::1", port=0), HeldApp(), Doors())
        try:
            url = await listener.start()
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        assert url.startswith("http://[::1]:")
        async with RudeClient.connect(int(url.rpartition(":")[2]), host="::1") as client:
            client.say(GET)
            assert (await client.answer()).status == 200
        await listener.stop_accepting()
        await listener.close()

    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    asyncio.run(body())


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_open_files() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_trusted_proxy_says_holds_for_requests_and_sockets() -> None:
    class Open(Doors):
        outlets: ClassVar[list[Outlet]] = []

        def open(self, outlet: Outlet, /) -> Parrot:
            self.outlets.append(outlet)
            return super().open(outlet)

    async def who(scope: Any, receive: Any, send: Any) -> None:
        body = f"{scope['client'][0]} {scope['scheme']}".encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    told = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "chat.example")]
    raw = "".join(f"{name}: {value}\r\n" for name, value in told).encode()

    async def body(proxies: Proxies, heard: bytes, page: int) -> None:
        listener = Listener(ListenerSettings(port=0, proxies=proxies), who, Open())
        port = int((await listener.start()).rpartition(":")[2])
        async with RudeClient.connect(port) as client:
            client.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + raw + b"\r\n")
            assert (await client.answer()).body == heard
        for origin, status in (("https://chat.example", page), ("http://chat.example", 403), ("https://x", 403)):
            async with RudeClient.connect(port) as client:
                client.say(upgrade_request(extra=[*told, ("Origin", origin)], host="inner"))
                assert (await client.answer()).status == status
        assert [outlet.peer for outlet in Open.outlets] == (["192.0.2.1"] if page == 101 else [])
        await listener.stop_accepting()
        await listener.close()

    asyncio.run(body(Proxies(), b"127.0.0.1 http", 403))
    asyncio.run(body(Proxies(["127.0.0.1"]), b"192.0.2.1 https", 101))
