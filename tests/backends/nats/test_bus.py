"""The bus on NATS where things go wrong: killed, paused and overtaken servers, rights, passwords, certificates."""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest
import trustme

from folkmoot.backends.nats.bus import CUT_MESSAGES_MAX, NatsBus
from folkmoot.backends.nats.credentials import BusUnusable
from folkmoot.backends.nats.server import NatsServer, NatsUser, ServerTls, servers
from folkmoot.ports.bus import Handler, NoAnswer, Reply
from folkmoot.ports.clock import SystemChance

WAIT_S_MAX = 20.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def on(*servers: NatsServer, ca_file: str = "", credentials_file: str = "") -> AsyncIterator[NatsBus]:
    urls = [server.url for server in servers]
    bus = await NatsBus.connect(urls, ca_file=ca_file, credentials_file=credentials_file, connect_s_max=WAIT_S_MAX)
    try:
        yield bus
    finally:
        await bus.close()


async def heard_through(bus: NatsBus, other: NatsBus, subject: str) -> None:
    """Return once a message of `bus` has come to `other`: what is asked again may be lost meanwhile."""
    heard: list[bytes] = []
    subscription = other.subscribe(subject, lambda message, _: heard.append(message))
    async with asyncio.timeout(WAIT_S_MAX):
        while not heard:
            bus.publish(subject, b"x")
            await asyncio.sleep(0.02)
    subscription.cancel()


def yes(message: bytes, reply: Reply | None) -> None:
    assert reply is not None
    reply(b"yes")


def written(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_after_a_kill_and_a_restart_subscriptions_stand_again_and_are_told_of_a_gap(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            gaps: list[str] = []
            heard: list[bytes] = []
            bus.subscribe("a.1", lambda message, _: heard.append(message), on_gap=lambda: gaps.append("a.1"))
            bus.subscribe("b.*", lambda *_: None, on_gap=lambda: gaps.append("b.*"))
            await server.kill()
            await until(lambda: not bus.statistics()["connected"])
            assert gaps == []
            later: list[str] = []
            bus.subscribe("c.1", lambda message, _: heard.append(message), on_gap=lambda: later.append("c.1"))
            await server.start()
            await until(lambda: bool(later))
            assert gaps == ["a.1", "b.*"]
            bus.publish("a.1", b"1")
            bus.publish("c.1", b"2")
            await until(lambda: len(heard) == 2)
            assert bus.statistics()["reconnects"] == 1

    asyncio.run(run())


def test_of_what_is_published_in_a_long_cut_nothing_comes_late_and_of_a_short_one_only_so_much(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            gaps: list[int] = []
            heard: list[bytes] = []
            bus.subscribe("a.1", lambda message, _: heard.append(message), on_gap=lambda: gaps.append(1))
            assert bus.away_s() == 0.0
            await server.kill()
            await until(lambda: not bus.statistics()["connected"])
            assert 0.0 <= bus.away_s() < 60.0
            for _ in range(2 * CUT_MESSAGES_MAX):
                bus.publish("a.1", b"old")
            assert bus.statistics()["outbox"] == CUT_MESSAGES_MAX
            assert bus.statistics()["dropped"] == CUT_MESSAGES_MAX
            bus._cut_at_s -= 60
            assert bus.away_s() >= 60.0
            bus.publish("a.1", b"late")
            assert bus.statistics()["dropped"] == CUT_MESSAGES_MAX + 1
            await server.start()
            await until(lambda: bool(gaps))
            bus.publish("a.1", b"new")
            await until(lambda: bool(heard))
            assert heard == [b"new"]
            assert bus.away_s() == 0.0
            assert bus.statistics()["dropped"] == 2 * CUT_MESSAGES_MAX + 1

    asyncio.run(run())


def test_a_request_outlives_the_server_that_it_was_asked_through(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            asked: list[bytes] = []
            subscription = bus.subscribe("a.1", lambda message, _: asked.append(message))
            request = bus.request("a.1", b"x", timeout_s=WAIT_S_MAX)
            await until(lambda: bool(asked))
            subscription.cancel()
            await server.kill()
            bus.subscribe("a.1", yes)
            await server.start()
            assert await request == b"yes"

    asyncio.run(run())


def test_a_request_waits_for_an_owner_who_comes_late_and_for_all_of_its_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            request = bus.request("a.1", b"x", timeout_s=WAIT_S_MAX)
            begun_s = time.monotonic()
            with pytest.raises(NoAnswer):
                await bus.request("a.2", b"x", timeout_s=0.4)
            assert time.monotonic() - begun_s >= 0.39
            assert not request.done()
            bus.subscribe("a.1", yes)
            assert await request == b"yes"

    asyncio.run(run())


def test_a_server_that_is_paused_is_left_for_another_within_seconds(tmp_path: Path) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            both = [await stack.enter_async_context(server) for server in servers(tmp_path, 2)]
            bus = await stack.enter_async_context(on(*both))
            mine = await _server_of(bus, both)
            other = await stack.enter_async_context(on(*(server for server in both if server is not mine)))
            await heard_through(bus, other, "a.1")
            gaps: list[int] = []
            bus.subscribe("b.1", lambda *_: None, on_gap=lambda: gaps.append(1))
            mine.pause()
            try:
                # More than the sockets hold: such a connection cannot even be closed in the usual way.
                for _ in range(2_000):
                    bus.publish("b.1", bytes(4_000))
                await until(lambda: bool(gaps))
                await heard_through(bus, other, "a.1")
            finally:
                mine.resume()

    asyncio.run(run())


async def _server_of(bus: NatsBus, among: list[NatsServer]) -> NatsServer:
    assert bus._link is not None
    url = bus._link.connected_url
    assert url is not None
    return next(server for server in among if server.port == url.port)


def test_of_three_servers_one_is_killed_and_the_others_go_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            three = [await stack.enter_async_context(server) for server in servers(tmp_path, 3)]
            buses = [await stack.enter_async_context(on(*three)) for _ in range(3)]
            for bus in buses:
                for other in buses:
                    await heard_through(bus, other, "a.1")
            gaps: list[NatsBus] = []
            for bus in buses:
                bus.subscribe("b.1", lambda *_: None, on_gap=lambda bus=bus: gaps.append(bus))  # type: ignore[misc]
            of = [await _server_of(bus, three) for bus in buses]
            await of[0].kill()
            for bus, server in zip(buses, of, strict=True):
                assert server is not of[0] or await _told(gaps, bus)
            for bus in buses:
                for other in buses:
                    await heard_through(bus, other, "a.1")

    asyncio.run(run())


async def _told(gaps: list[NatsBus], bus: NatsBus) -> bool:
    await until(lambda: bus in gaps)
    return True


def test_a_client_that_does_not_read_is_cut_off_by_the_server_and_told_of_a_gap(tmp_path: Path) -> None:
    async def run() -> None:
        limits = {"max_pending": 1024 * 1024, "max_payload": 100_000, "write_deadline": "500ms"}
        async with NatsServer(tmp_path, more=limits) as server, on(server) as slow, on(server) as other:
            gaps: list[int] = []
            slow.subscribe("a.1", lambda *_: None, on_gap=lambda: gaps.append(1))
            await heard_through(other, slow, "b.1")
            assert slow._link is not None
            slow._link._transport._io_reader._transport.pause_reading()  # type: ignore[union-attr]
            slow._link._transport._io_reader._paused = True  # type: ignore[union-attr]
            async with asyncio.timeout(WAIT_S_MAX):
                while not gaps:
                    for _ in range(100):
                        other.publish("a.1", bytes(10_000))
                    await asyncio.sleep(0.01)
            await heard_through(other, slow, "b.1")

    asyncio.run(run())


def test_a_message_larger_than_the_server_takes_is_dropped_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path, more={"max_payload": 1_000}) as server, on(server) as bus:
            heard: list[bytes] = []
            bus.subscribe("a.1", lambda message, _: heard.append(message))
            bus.publish("a.1", bytes(1_001))
            bus.publish("a.1", b"x")
            await until(lambda: bool(heard))
            assert heard == [b"x"]
            assert bus.statistics()["dropped"] == 1

    asyncio.run(run())
    assert "max_payload" in caplog.text


def test_a_handler_that_raises_at_a_gap_harms_nobody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            gaps: list[int] = []

            def broken() -> None:
                raise RuntimeError("a handler's own fault")

            bus.subscribe("a.1", lambda *_: None, on_gap=broken)
            bus.subscribe("a.1", lambda *_: None, on_gap=lambda: gaps.append(1))
            await server.restart()
            await until(lambda: bool(gaps))

    asyncio.run(run())
    assert "at a gap" in caplog.text


def test_what_is_published_last_is_sent_before_the_bus_closes(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as other:
            heard: list[bytes] = []
            other.subscribe("a.1", lambda message, _: heard.append(message))
            async with on(server) as bus:
                await heard_through(bus, other, "b.1")
                for n in range(1_000):
                    bus.publish("a.1", str(n).encode())
            await until(lambda: len(heard) == 1_000)
            bus.publish("a.1", b"after")
            assert bus.statistics()["outbox"] == 0

    asyncio.run(run())


def test_two_installations_on_one_nats_do_not_hear_one_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server, on(server) as bus:
            other = await NatsBus.connect([server.url], prefix="elsewhere")
            heard: list[bytes] = []
            handler: Handler = lambda message, _: heard.append(message)  # noqa: E731
            bus.subscribe("a.1", handler)
            await heard_through(bus, bus, "a.2")
            other.publish("a.1", b"theirs")
            await heard_through(other, other, "a.2")
            bus.publish("a.1", b"ours")
            await until(lambda: bool(heard))
            assert heard == [b"ours"]
            await other.close()

    asyncio.run(run())


def test_a_server_that_cuts_each_connection_off_is_not_stormed(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            bus = await NatsBus.connect([server.url], chance=_Late())
            begun_s = time.monotonic()
            for cuts in range(1, 7):
                assert bus._link is not None
                await bus._link.write([b"NONSENSE\r\n"])
                await until(lambda cuts=cuts: bus.statistics()["reconnects"] == cuts)  # type: ignore[misc]
            # 0.05, 0.1, 0.2, 0.4, 0.8 and 1 s.
            assert time.monotonic() - begun_s > 2.4
            await bus.close()

    asyncio.run(run())


class _Late(SystemChance):
    """Draws nearly the whole of every pause."""

    def draw(self) -> float:
        return 0.999


def test_nobody_at_the_address_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            url = server.url
        with pytest.raises(BusUnusable, match=r"^nats_urls: no NATS server answers at nats://127\.0\.0\.1:"):
            await NatsBus.connect([url], connect_s_max=0.2)

    asyncio.run(run())


def test_the_password_in_the_file_is_what_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        users = (NatsUser(name="user-1", password="right"),)
        good, bad = written(tmp_path / "good", "user-1:right\n"), written(tmp_path / "bad", "user-1:wr0ng\n")
        async with NatsServer(tmp_path, users=users) as server:
            async with on(server, credentials_file=good) as bus:
                await heard_through(bus, bus, "a.1")
            with pytest.raises(BusUnusable, match=r"^nats_credentials_file: NATS refuses") as wrong:
                await NatsBus.connect([server.url], credentials_file=bad)
            with pytest.raises(BusUnusable, match=r"^nats_credentials_file: NATS asks for credentials"):
                await NatsBus.connect([server.url])
        assert "wr0ng" not in str(wrong.value) + caplog.text

    asyncio.run(run())


def test_an_nkey_logs_in_by_its_seed(tmp_path: Path) -> None:
    async def run() -> None:
        key, stranger = Nkey(nkeys.PREFIX_BYTE_USER), Nkey(nkeys.PREFIX_BYTE_USER)
        async with NatsServer(tmp_path, users=(NatsUser(nkey=key.public),)) as server:
            async with on(server, credentials_file=written(tmp_path / "seed", key.seed)) as bus:
                await heard_through(bus, bus, "a.1")
                await server.restart()
                await until(lambda: bus.statistics()["reconnects"] == 1)
                await heard_through(bus, bus, "a.1")
            with pytest.raises(BusUnusable, match=r"^nats_credentials_file: NATS refuses"):
                await NatsBus.connect([server.url], credentials_file=written(tmp_path / "other", stranger.seed))

    asyncio.run(run())


def test_a_user_of_an_account_logs_in_by_a_creds_file(tmp_path: Path) -> None:
    async def run() -> None:
        operator, account = Nkey(nkeys.PREFIX_BYTE_OPERATOR), Nkey(nkeys.PREFIX_BYTE_ACCOUNT)
        user = Nkey(nkeys.PREFIX_BYTE_USER)
        limits = {"conn": -1, "leaf": -1, "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1}
        trust = {
            "operator": operator.says(operator, {"type": "operator", "version": 2}),
            "resolver": "MEMORY",
            "resolver_preload": {
                account.public: operator.says(account, {"type": "account", "version": 2, "limits": limits})
            },
        }
        token = account.says(user, {"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "payload": -1})
        creds = (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        async with NatsServer(tmp_path, more=trust) as server:
            async with on(server, credentials_file=written(tmp_path / "creds", creds)) as bus:
                await heard_through(bus, bus, "a.1")
            with pytest.raises(BusUnusable, match=r"^nats_credentials_file: NATS asks for credentials"):
                await NatsBus.connect([server.url])

    asyncio.run(run())


class Nkey:
    """A key as `nsc` makes them, and what it says of another."""

    def __init__(self, kind: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), kind).decode()
        self._pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._pair.public_key.decode()

    def says(self, subject: "Nkey", claims: dict[str, Any]) -> str:
        """A signed token as NATS has them."""
        body = {"jti": "1", "iat": 1, "iss": self.public, "name": "test", "sub": subject.public, "nats": claims}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body]
        text = ".".join(_in_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_in_base64(self._pair.sign(text.encode()))}"


def _in_base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_rights_that_do_not_suffice_are_said_at_the_start(tmp_path: Path) -> None:
    async def run() -> None:
        users = (
            NatsUser(name="user-1", password="a", allow=("folkmoot.>",)),
            NatsUser(name="user-2", password="b", allow=("other.>",)),
        )
        async with NatsServer(tmp_path, users=users) as server:
            async with on(server, credentials_file=written(tmp_path / "1", "user-1:a")) as bus:
                bus.subscribe("a.1", yes)
                assert await bus.request("a.1", b"", timeout_s=WAIT_S_MAX) == b"yes"
            with pytest.raises(BusUnusable, match=r"^nats_credentials_file: .*`folkmoot\.>`"):
                await NatsBus.connect([server.url], credentials_file=written(tmp_path / "2", "user-2:b"))

    asyncio.run(run())


def test_a_right_that_is_missing_later_is_logged_with_its_subject(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        users = (NatsUser(name="user-1", password="a", allow=("folkmoot.rights.*", "folkmoot.inbox.>")),)
        credentials = written(tmp_path / "1", "user-1:a")
        async with NatsServer(tmp_path, users=users) as server, on(server, credentials_file=credentials) as bus:
            bus.subscribe("a.1", yes)
            bus.publish("a.2", b"")
            await until(lambda: bus.statistics()["refused"] == 2)
            assert bus.statistics()["connected"] == 1

    asyncio.run(run())
    texts = [str(getattr(record, "text", "")) for record in caplog.records]
    assert any("folkmoot.a.1" in text for text in texts)
    assert any("folkmoot.a.2" in text for text in texts)


def test_servers_are_checked_by_the_ca_and_one_without_tls_gets_no_password(tmp_path: Path) -> None:
    async def run() -> None:
        ca, stranger = trustme.CA(), trustme.CA()
        issued = ca.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
        tls = ServerTls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
        async with NatsServer(tmp_path, tls=tls) as server:
            async with on(server, ca_file=str(tmp_path / "ca.pem")) as bus:
                await heard_through(bus, bus, "a.1")
                await server.restart()
                await until(lambda: bus.statistics()["reconnects"] == 1)
                await heard_through(bus, bus, "a.1")
            with pytest.raises(BusUnusable, match=r"^nats_ca_file: the server's certificate is not trusted"):
                await NatsBus.connect([server.url], ca_file=str(tmp_path / "stranger.pem"))
        async with _plain_server() as (port, received):
            with pytest.raises(BusUnusable, match=r"^nats_urls: TLS is asked for"):
                await NatsBus.connect(
                    [f"tls://127.0.0.1:{port}"], credentials_file=written(tmp_path / "c", "user-1:secret")
                )
            assert received == []

    asyncio.run(run())


@contextlib.asynccontextmanager
async def _plain_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Says that it is a NATS without TLS, and keeps what it is sent."""
    received: list[bytes] = []
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_name": "x", "max_payload": 1000, "headers": true, "auth_required": true}\r\n')
        with contextlib.suppress(OSError):
            while data := await reader.read(1_000):
                received.append(data)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], received
        await left.wait()
