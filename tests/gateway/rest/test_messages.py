"""Messages: one entry however often it is asked, in the order of the sender; what is wrong is said and is no fault."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from folkmoot.testing.served import Served, served


async def a_group(server: Served, *members: str) -> str:
    async with server.rest("user-1") as rest:
        body = {"name": "Coffee", "members": members}
        answer = await rest.post("/groups", json=body, headers={"Idempotency-Key": "make"})
    return f"/groups/{answer.json()['group']}"


def test_a_message_asked_again_has_the_same_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server, "user-2")
            async with server.rest("user-1") as rest, server.rest("user-2") as other:
                key = {"Idempotency-Key": "m-1"}
                first = await asyncio.gather(
                    *(rest.post(f"{path}/messages", json={"text": "hi"}, headers=key) for _ in range(3))
                )
                assert {(a.status_code, a.json()["seq"]) for a in first} == {(201, 2)}
                # Another user's same key is another message.
                assert (await other.post(f"{path}/messages", json={"text": "hi"}, headers=key)).json()["seq"] == 3
                changed = await rest.post(f"{path}/messages", json={"text": "ho"}, headers=key)
                assert (changed.status_code, changed.json()["code"]) == (409, "send_id_conflict")
                await rest.delete(f"{path}/members/user-2")
                # A removed member's retry has the first answer, and a new message none.
                late = await other.post(f"{path}/messages", json={"text": "hi"}, headers=key)
                assert (late.status_code, late.json()["seq"]) == (201, 3)
                new = await other.post(f"{path}/messages", json={"text": "hi"}, headers={"Idempotency-Key": "m-2"})
                assert (new.status_code, new.json()["code"], new.json()["definite"]) == (404, "membership_over", True)

    asyncio.run(run())


def test_a_message_waits_for_the_one_named_in_after(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-1") as rest:
                late = {"text": "two", "join": 1, "after": "m-1"}
                early = await rest.post(f"{path}/messages", json=late, headers={"Idempotency-Key": "m-2"})
                assert (early.status_code, early.json()["code"], early.json()["definite"]) == (
                    409,
                    "out_of_turn",
                    False,
                )
                assert (
                    await rest.post(f"{path}/messages", json={"text": "1"}, headers={"Idempotency-Key": "m-1"})
                ).json()["seq"] == 2
                assert (await rest.post(f"{path}/messages", json=late, headers={"Idempotency-Key": "m-2"})).json()[
                    "seq"
                ] == 3

    asyncio.run(run())


def test_data_is_kept_byte_for_byte(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            raw = b'{"type":"order","data":{"b":1.50,  "a":[1e2, "\\u00e9"]}}'
            async with server.rest("user-1") as rest:
                await rest.post(f"{path}/messages", content=raw, headers={"Idempotency-Key": "m-1"})
                page = await rest.get(f"{path}/entries/2")
            assert b'"data":{"b":1.50,  "a":[1e2, "\\u00e9"]}' in page.content

    asyncio.run(run())


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b"[]", 400, "bad_request"),
        (b'{"text":1}', 400, "bad_request"),
        (b'{"text":"x","more":1}', 400, "bad_request"),
        (b'{"text":"x","join":-1}', 400, "bad_request"),
        (b'{"text":"x","join":1e99}', 400, "bad_request"),
        (b'{"text":"x","after":"a b"}', 400, "bad_request"),
        (b'{"text":"\xff"}', 400, "bad_request"),
        (b'{"text":"\\ud800"}', 400, "bad_request"),
        (b'{"type":"t","data":' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400, "bad_request"),
        (b"[" * 60_000, 400, "bad_request"),
        (b"{}", 422, "bad_body"),
        (b'{"data":1}', 422, "bad_body"),
        (b'{"text":"' + b"x" * 8_001 + b'"}', 413, "too_long"),
        (b'{"text":"' + b"x" * 70_000 + b'"}', 413, "too_long"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, status: int, code: str) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-1") as rest:
                headers = {"Idempotency-Key": "m-1"}
                answer = await rest.post(f"{path}/messages", content=content, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
                assert answer.headers["content-type"] == "application/problem+json"

    asyncio.run(run())


@pytest.mark.parametrize(
    "headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "a b"}, {"Idempotency-Key": "x" * 129}]
)
def test_without_a_good_key_nothing_is_sent(tmp_path: Path, headers: dict[str, Any]) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-1") as rest:
                answer = await rest.post(f"{path}/messages", json={"text": "x"}, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
                assert (await rest.get(path)).json()["seq"] == 1

    asyncio.run(run())
