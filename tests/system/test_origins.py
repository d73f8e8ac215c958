"""Pages of other origins at a real server: each door lets those in that are listed, and no answer is another's."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from folkmoot.gateway.sse import MEDIA_TYPE
from folkmoot.testing.served import Served, served

PAGE = "https://app.example"


async def has_origin(client: httpx.AsyncClient, method: str, path: str, origin: str | None, **asked: str) -> str:
    """What the answer says of who may read it. Its body, which may not end, is not read."""
    headers = dict(asked) if origin is None else asked | {"Origin": origin}
    async with client.stream(method, path, headers=headers) as answer:
        assert len(answer.headers.get_list("access-control-allow-origin")) <= 1
        return str(answer.headers.get("access-control-allow-origin", ""))


@pytest.mark.parametrize("door", ["/v1/groups", "/v1/groups/{group}/stream", "/v1/groups/none/entries", "/v1/nowhere"])
def test_answers_can_be_read_by_pages_that_are_listed_and_only_those(tmp_path: Path, door: str) -> None:
    async def body() -> None:
        async with served(tmp_path, allowed_origins=f"{PAGE},http://localhost:3000") as server:
            path, bearer = door.format(group=await made(server)), f"Bearer {server.token('user-1')}"
            async with httpx.AsyncClient(base_url=server.url) as client:
                for authorization in (bearer, "Bearer none"):
                    # Twice, and mixed: what one was told must not stick to the next answer.
                    for origin in (PAGE, None, "http://localhost:3000", "https://other.example", PAGE, None):
                        found = await has_origin(client, "GET", path, origin, Authorization=authorization)
                        assert found == (origin if origin in (PAGE, "http://localhost:3000") else "")

    asyncio.run(body())


def test_a_page_may_ask_with_the_headers_of_each_door(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path, allowed_origins=PAGE) as server, httpx.AsyncClient(base_url=server.url) as client:
            for method, path, header in (
                ("POST", "/v1/groups", "authorization, idempotency-key, content-type"),
                ("GET", "/v1/groups/g/stream", "authorization, last-event-id, folkmoot-user"),
                ("DELETE", "/v1/groups/g", "authorization"),
            ):
                asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
                assert await has_origin(client, "OPTIONS", path, PAGE, **asked) == PAGE
                assert await has_origin(client, "OPTIONS", path, "https://other.example", **asked) == ""

    asyncio.run(body())


def test_streams_come_by_tls_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    files = {"tls_cert_file": tmp_path / "cert.pem", "tls_key_file": tmp_path / "key.pem"}

    async def body() -> None:
        async with served(tmp_path / "data", **{name: str(path) for name, path in files.items()}) as server:  # type: ignore[arg-type]
            bearer = {"Authorization": f"Bearer {server.token('user-1')}"}
            async with httpx.AsyncClient(base_url=server.url, headers=bearer, verify=trusting) as client:
                answer = await client.post("/v1/groups", json={"name": "tea room"}, headers={"Idempotency-Key": "make"})
                group = answer.json()["group"]
                async with client.stream("GET", f"/v1/groups/{group}/stream") as stream:
                    assert stream.headers["content-type"] == MEDIA_TYPE
                    lines = stream.aiter_lines()
                    for n in range(3):
                        sent = await client.post(
                            f"/v1/groups/{group}/messages",
                            json={"text": "x" * 3_000 + str(n)},
                            headers={"Idempotency-Key": f"m{n}"},
                        )
                        assert sent.is_success
                        async for line in lines:
                            if line.startswith("data:") and f'x{n}"' in line:
                                break

    asyncio.run(body())


async def made(server: Served) -> str:
    """A group of user-1's."""
    headers = {"Authorization": f"Bearer {server.token('user-1')}", "Idempotency-Key": "make"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        answer = await client.post("/v1/groups", json={"name": "tea room"})
        return str(answer.json()["group"])
