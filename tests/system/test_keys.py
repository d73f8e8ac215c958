"""Keys of tokens that change under a real server: who came by one that is gone goes within a second, others stay."""

import asyncio
import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from folkmoot.gateway.rotation import rotate
from folkmoot.testing.served import Served, WireClient, served

SECONDS_MAX = 3.0
"""From a key's end to the last connection's. A second, by the ticks of tests/gateway/test_signers.py and test_wheel.py;
the rest is what a busy machine may take to run both ends of it."""


async def hello(server: Served, token: str) -> WireClient:
    client = await server.stranger()
    client.say({"t": "hello", "token": token, "versions": [1]})
    await client.until(lambda: bool(client.all("welcome") or client.lost))
    return client


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_secret_that_is_changed_ends_live_connections_and_one_that_is_kept_does_not(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            first = server.token("user-1")
            client = await hello(server, first)
            rotate(tmp_path, keep_old_ms=3_600_000, now_ms=now_ms())
            second = server.token("user-1")
            # The new one is in force, and the old one's connection is still there.
            while True:
                other = await hello(server, second)
                if other.all("welcome"):
                    break
            client.say({"t": "ping", "ref": "still here"})
            await client.wait("pong", ref="still here")
            begun = time.monotonic()
            rotate(tmp_path, keep_old_ms=0, now_ms=now_ms())
            assert await client.ended() == ("token_invalid", 4101)
            assert await other.ended() == ("token_invalid", 4101)
            assert time.monotonic() - begun < SECONDS_MAX
            for old in (first, second):
                assert (await (await hello(server, old)).ended())[0] == "token_invalid"
            assert (await hello(server, server.token("user-1"))).all("welcome")

    asyncio.run(body())


def test_an_identity_providers_key_comes_by_its_first_token_and_ends_with_its_set(tmp_path: Path) -> None:
    keys = {kid: generate_private_key(65_537, 2_048) for kid in ("a", "b")}
    published = ["a"]

    def row(kid: str) -> dict[str, object]:
        found = RSAAlgorithm.to_jwk(keys[kid].public_key(), as_dict=True)
        return {name: found[name] for name in ("kty", "n", "e")} | {"kid": kid, "alg": "RS256", "use": "sig"}

    async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"keys": [row(kid) for kid in published]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    def token(kid: str, key: RSAPrivateKey, audience: str = "chat") -> str:
        claims = {"sub": "user-1", "exp": time.time() + 60, "aud": audience}
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})

    async def body() -> None:
        provider = await asyncio.start_server(provide, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}/keys"
        async with provider, served(tmp_path, token_jwks_url=url, token_audience="chat") as server:
            client = await hello(server, token("a", keys["a"]))
            assert client.all("welcome")
            forged = await hello(server, token("a", keys["b"]))
            assert await forged.ended() == ("token_invalid", 4101)
            elsewhere = await hello(server, token("a", keys["a"], audience="mail"))
            assert await elsewhere.ended() == ("token_invalid", 4101)
            published[:] = ["b"]
            begun = time.monotonic()
            # The first token of the new key has the set fetched; with it the old key's connection is over.
            assert (await hello(server, token("b", keys["b"]))).all("welcome")
            assert await client.ended() == ("token_invalid", 4101)
            assert time.monotonic() - begun < SECONDS_MAX

    asyncio.run(body())
