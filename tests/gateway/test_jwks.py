"""Key sets: which keys of one are taken, why one is refused, and a fetch that waits and reads only so much."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from folkmoot.gateway import jwks
from folkmoot.gateway.identity import Verifier
from folkmoot.gateway.jwks import BYTES_MAX, KEYS_MAX, JwksUnusable, fetch, keys_of, url_fault

RSA = generate_private_key(65_537, 2_048)
EC = generate_ec_key(SECP256R1())
ED = Ed25519PrivateKey.generate()


def row(private: Any, **fields: Any) -> dict[str, Any]:
    makers: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "Ed": OKPAlgorithm}
    maker = next(maker for name, maker in makers.items() if name in type(private).__name__)
    found: dict[str, Any] = maker.to_jwk(private.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return found | fields


def made(*rows: Any) -> bytes:
    return json.dumps({"keys": rows}).encode()


def test_each_kind_of_key_is_taken_with_its_algorithm() -> None:
    keys = keys_of(made(row(RSA, kid="r", use="sig", alg="RS256"), row(EC, kid="c"), row(ED, kid="d", alg="EdDSA")))
    assert [(key.kid, key.algorithm) for key in keys] == [("r", "RS256"), ("c", "ES256"), ("d", "EdDSA")]
    verifier = Verifier(keys)
    for private, key in zip((RSA, EC, ED), keys, strict=True):
        token = jwt.encode({"sub": "user-1", "exp": 60}, private, algorithm=key.algorithm, headers={"kid": key.kid})  # type: ignore[arg-type]
        assert verifier.verify(token, now_ms=0).signer == key.name


def test_keys_that_are_for_something_else_are_left_out() -> None:
    others = [
        row(RSA, use="enc"),
        row(RSA, alg="RS512"),
        row(RSA, alg="RSA-OAEP"),
        row(EC, alg="RS256"),
        row(generate_ec_key(SECP384R1())),
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"]},
        {"kty": "EC", "crv": 5},
        {},
        row(ED, kid="x" * 1_000),
        row(generate_private_key(65_537, 1_024)),
        {"kty": "RSA", "n": "AQAB", "e": "!"},
        {"kty": "RSA"},
    ]
    assert [key.kid for key in keys_of(made(*others, row(ED, kid="good")))] == ["good"]
    for other in others:
        with pytest.raises(JwksUnusable):
            keys_of(made(other))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": [5]}', b'{"keys": []}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_set_is_refused(content: bytes) -> None:
    with pytest.raises(JwksUnusable):
        keys_of(content)


def test_a_private_half_and_a_crowd_of_keys_are_refused() -> None:
    private = RSAAlgorithm.to_jwk(RSA, as_dict=True)
    private.pop("key_ops", None)
    with pytest.raises(JwksUnusable, match="private half"):
        keys_of(made(row(ED), private))
    keys_of(made(*[row(ED)] * KEYS_MAX))
    with pytest.raises(JwksUnusable, match="more than"):
        keys_of(made(*[row(ED)] * (KEYS_MAX + 1)))


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://id.example/keys", True),
        ("http://127.0.0.1:1/keys", True),
        ("http://[::1]:1/keys", True),
        ("http://localhost/keys", True),
        ("http://id.example/keys", False),
        ("http://127.0.0.1.example/", False),
        ("https://user:word@id.example/", False),
        ("file:///etc/keys", False),
        ("https:///keys", False),
        ("https://[/", False),
        ("keys", False),
    ],
)
def test_addresses_are_of_https_or_of_this_machine(url: str, good: bool) -> None:
    assert (url_fault(url) == "") == good


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamWriter], Any], secure: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secure)
    try:
        yield f"{'https' if secure else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    finally:
        server.close()
        await server.wait_closed()


async def said(writer: asyncio.StreamWriter, status: str, body: bytes = b"", headers: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


def fetched(answer: Callable[[asyncio.StreamWriter], Any]) -> bytes:
    async def run() -> bytes:
        async with answering(answer) as url:
            return await fetch(url)

    return asyncio.run(run())


def test_an_authority_of_ones_own_is_trusted_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def run() -> bytes:
        async with answering(lambda writer: said(writer, "200 OK", made()), context) as url:
            return await fetch(url)

    with pytest.raises(JwksUnusable, match="cannot be fetched"):
        asyncio.run(run())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert asyncio.run(run()) == made()


def test_in_the_clear_nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetched(lambda writer: said(writer, "200 OK", made())) == made()


def test_what_is_there_is_fetched() -> None:
    assert fetched(lambda writer: said(writer, "200 OK", made())) == made()


def test_another_status_and_another_place_are_not_followed() -> None:
    with pytest.raises(JwksUnusable, match="status 404"):
        fetched(lambda writer: said(writer, "404 Not Found", b"secrets of the far side"))
    with pytest.raises(JwksUnusable, match="status 302"):
        fetched(lambda writer: said(writer, "302 Found", headers="Location: http://127.0.0.1:1/\r\n"))


def test_no_more_is_read_than_a_set_may_have() -> None:
    assert len(fetched(lambda writer: said(writer, "200 OK", b"x" * BYTES_MAX))) == BYTES_MAX
    with pytest.raises(JwksUnusable, match="longer than"):
        fetched(lambda writer: said(writer, "200 OK", b"x" * (BYTES_MAX + 1)))


def test_one_that_dribbles_or_goes_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS_MAX", 0.3)

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def go(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab")

    with pytest.raises(JwksUnusable, match="no answer within"):
        fetched(dribble)
    with pytest.raises(JwksUnusable, match="cannot be fetched"):
        fetched(go)
    with pytest.raises(JwksUnusable, match="cannot be fetched"):
        asyncio.run(fetch("http://127.0.0.1:1/keys"))
