"""TLS: who is let in, certificates that are replaced while serving, and what is said of files that are wrong."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from folkmoot.gateway import listener as listeners
from folkmoot.gateway.listener import Listener, ListenerSettings
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.tls import Certificate, CertificateUnusable
from folkmoot.testing.rude_client import RudeClient

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class NoDoors:
    connections = 0

    def open(self, outlet: Outlet, /) -> Any:
        raise AssertionError("no WebSocket is opened here")


async def scheme_app(scope: Any, receive: Any, send: Any) -> None:
    """Says by what scheme it was asked."""
    body = scope["scheme"].encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Files:
    """A certificate's two files, issued by an authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.issue()

    def issue(self, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> bytes:
        """Issue another; what it is known by."""
        issued = self.authority.issue_cert("127.0.0.1", "localhost", key_type=kind)
        self.cert.write_bytes(issued.cert_chain_pems[0].bytes())
        self.key.write_bytes(issued.private_key_pem.bytes())
        return x509.load_pem_x509_certificate(self.cert.read_bytes()).public_bytes(Encoding.DER)

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


@contextlib.asynccontextmanager
async def listening(certificate: Certificate) -> AsyncIterator[int]:
    listener = Listener(ListenerSettings(port=0, certificate=certificate), scheme_app, NoDoors())
    url = await listener.start()
    assert url.startswith("https://127.0.0.1:")
    try:
        yield int(url.rpartition(":")[2])
    finally:
        await listener.stop_accepting()
        await listener.close()


@contextlib.asynccontextmanager
async def connected(port: int, trusting: ssl.SSLContext, host: str = "127.0.0.1") -> AsyncIterator[RudeClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=host)
    try:
        yield RudeClient(reader, writer)
    finally:
        writer.transport.abort()


def shown(client: RudeClient) -> bytes:
    found: bytes = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found


def test_http_is_served_by_tls_and_knows_it(files: Files, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def body() -> None:
        async with listening(Certificate(files.cert, files.key)) as port:
            for host in ("127.0.0.1", "localhost"):
                async with connected(port, files.trusting(), host) as client:
                    client.say(GET)
                    assert (await client.answer()).body == b"https"
                    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())


def test_tls_of_today_only_and_nothing_in_the_clear(
    files: Files, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def body() -> None:
        async with listening(Certificate(files.cert, files.key)) as port:
            trusting = files.trusting()
            trusting.maximum_version = ssl.TLSVersion.TLSv1_2
            async with connected(port, trusting) as client:
                assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.2"
            old = files.trusting()
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=old)
            async with RudeClient.connect(port) as client:
                client.say(GET)
                assert not (await client.reader.read()).startswith(b"HTTP/")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())


def test_one_who_never_shakes_hands_is_let_go(
    files: Files, loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS_MAX", 0.2)

    async def body() -> None:
        async with listening(Certificate(files.cert, files.key)) as port, RudeClient.connect(port) as client:
            await client.ended()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_a_new_certificate_is_shown_to_who_comes_and_drops_nobody(
    files: Files, loop: Callable[[], asyncio.AbstractEventLoop], kind: trustme.KeyType
) -> None:
    async def body() -> None:
        certificate = Certificate(files.cert, files.key)
        trusting = files.trusting()
        async with listening(certificate) as port, connected(port, trusting) as early:
            new = files.issue(kind)
            certificate.look()
            async with connected(port, trusting) as late:
                assert shown(late) == new != shown(early)
            early.say(GET)
            assert (await early.answer()).body == b"https"
            # Half of a new pair is none: the one before stays until both are there.
            whole = files.key.read_bytes()
            newest = files.issue(kind)
            other, _ = files.key.read_bytes(), files.key.write_bytes(whole)
            certificate.look()
            async with connected(port, trusting) as client:
                assert shown(client) == new
            files.key.write_bytes(other)
            certificate.look()
            async with connected(port, trusting) as client:
                assert shown(client) == newest

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())


def test_files_that_change_are_noticed_without_a_word(files: Files) -> None:
    async def body() -> None:
        async with listening(Certificate(files.cert, files.key)) as port, asyncio.timeout(10):
            new, trusting = files.issue(), files.trusting()
            while True:
                async with connected(port, trusting) as client:
                    if shown(client) == new:
                        break

    asyncio.run(body())


def test_files_that_are_wrong_are_named_with_their_setting(files: Files, tmp_path: Path) -> None:
    folder, nothing, text = tmp_path / "other", tmp_path / "no", tmp_path / "text"
    folder.mkdir()
    other = Files(folder)
    text.write_text("not what it should be")
    locked = tmp_path / "locked.pem"
    key = load_pem_private_key(files.key.read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    for cert, private, setting, why in (
        (nothing, files.key, "tls_cert_file", "No such file"),
        (text, files.key, "tls_cert_file", "not a certificate"),
        (files.key, files.key, "tls_cert_file", "not a certificate"),
        (files.cert, nothing, "tls_key_file", "No such file"),
        (files.cert, text, "tls_key_file", "not a private key"),
        (files.cert, files.cert, "tls_key_file", "not a private key"),
        (files.cert, other.key, "tls_key_file", "not the key of the certificate"),
        (files.cert, locked, "tls_key_file", "passphrase"),
    ):
        with pytest.raises(CertificateUnusable, match=why) as unusable:
            Certificate(cert, private)
        assert unusable.value.setting == setting
        assert str(unusable.value).startswith(setting)


def test_a_certificate_whose_time_is_over_is_served_with_a_warning(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    issued = files.authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    files.cert.write_bytes(issued.cert_chain_pems[0].bytes())
    files.key.write_bytes(issued.private_key_pem.bytes())
    Certificate(files.cert, files.key)
    assert "time is over" in caplog.text


def test_a_port_is_closed_with_handshakes_under_way(files: Files) -> None:
    async def body() -> None:
        async with listening(Certificate(files.cert, files.key)) as port:
            silent = socket.create_connection(("127.0.0.1", port))
        silent.close()

    asyncio.run(body())
