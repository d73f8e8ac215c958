"""The desk: rates, undecided answers, and what a call is told when the store or the router is away."""

import asyncio
import contextlib
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.gateway.access import AccessRefused
from folkmoot.gateway.app import HEADERS
from folkmoot.gateway.queries import QueryRefused
from folkmoot.gateway.rest.desk import Refusal, read_body, refusal_response
from folkmoot.ports.store import StoreAway
from folkmoot.testing.served import served

REQUEST: Any = None


@pytest.mark.parametrize(
    ("refusal", "status", "expected"),
    [
        (Refusal("out_of_turn", definite=False), 409, {"code": "out_of_turn", "definite": False}),
        (Refusal("no_answer", definite=False, retry_after_ms=1_001), 503, {"definite": False, "retry_after_ms": 1_001}),
        (Refusal("storage_full", definite=True), 507, {"definite": True}),
        (AccessRefused(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "", 0.5), 429, {"retry_after_ms": 500}),
        (AccessRefused(HTTPStatus.UNAUTHORIZED, "token_expired", "over"), 401, {"detail": "over"}),
        (QueryRefused("no_such_group"), 404, {"code": "no_such_group"}),
        (StoreAway("secret path"), 503, {"code": "unavailable", "retry_after_ms": 1_000}),
    ],
)
def test_each_refusal_is_a_problem(refusal: Exception, status: int, expected: dict[str, Any]) -> None:
    response = refusal_response(REQUEST, refusal)
    problem = json.loads(response.content)
    assert response.status_code == problem["status"] == status
    assert expected.items() <= problem.items()
    assert "secret" not in str(problem)
    assert HEADERS.items() <= response.headers.items()
    assert ("Retry-After" in response.headers) == ("retry_after_ms" in problem)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_seconds_to_wait_are_rounded_up() -> None:
    response = refusal_response(REQUEST, Refusal("no_answer", retry_after_ms=1_001))
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":"\xff"}', b"[" * 100_000, b'{"a":1}', b'{"b":""}'])
def test_a_body_of_another_shape_is_refused(body: bytes) -> None:
    class Shape(msgspec.Struct, forbid_unknown_fields=True):
        a: str

    with pytest.raises(Refusal, match="bad_request"):
        read_body(body, msgspec.json.Decoder(Shape))


def test_one_who_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            served(tmp_path, requests_per_s=0.5, requests_burst=3) as server,
            server.rest("user-1") as rest,
            server.rest("user-2") as other,
        ):
            answers = [await rest.get("/me") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert answers[-1].json()["code"] == "rate_limited"
            assert int(answers[-1].headers["retry-after"]) in (1, 2)
            assert (await other.get("/me")).status_code == 200

    asyncio.run(run())


def test_an_undecided_answer_says_so_and_a_retry_settles_it(tmp_path: Path) -> None:
    """The router stops before it answers: nobody knows, until the same key is asked again."""

    async def run() -> None:
        held = asyncio.Event()

        async def hold(point: str) -> None:
            if point == "appended" and not held.is_set():
                await held.wait()

        settings = {"ask_again_s": 0.05, "asks_max": 1}
        async with served(tmp_path, fail_point=hold, **settings) as server, server.rest("user-1") as rest:
            make = {"json": {"name": "g"}, "headers": {"Idempotency-Key": "make"}}
            answer = await rest.post("/groups", **make)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["code"], answer.json()["definite"]) == (503, "no_answer", False)
            assert answer.headers["retry-after"] == "1"
            held.set()
            settled = await rest.post("/groups", **make)  # type: ignore[arg-type]
            assert (settled.status_code, settled.json()["seq"]) == (201, 1)

    asyncio.run(run())


def test_a_drain_answers_what_was_taken_and_takes_nothing_new(tmp_path: Path) -> None:
    async def run() -> None:
        taken, release = asyncio.Event(), asyncio.Event()

        async def hold(point: str) -> None:
            if point == "appended" and not taken.is_set():
                taken.set()
                await release.wait()

        serving = contextlib.AsyncExitStack()
        server = await serving.enter_async_context(served(tmp_path, fail_point=hold))
        async with server.rest("user-1") as rest, server.rest("user-1") as other:
            assert (await other.get("/me")).status_code == 200  # A connection that is there before the port closes.
            make = {"json": {"name": "g"}, "headers": {"Idempotency-Key": "make"}}
            asked = asyncio.create_task(rest.post("/groups", **make))  # type: ignore[arg-type]
            await taken.wait()
            stopping = asyncio.create_task(serving.aclose())
            async with asyncio.timeout(5):
                probe = {"Idempotency-Key": "probe"}
                while (late := await other.post("/groups", json={"name": "g"}, headers=probe)).status_code != 503:
                    assert late.status_code == 201
            assert (late.json()["code"], late.json()["definite"]) == ("draining", False)
            release.set()
            answer = await asked
            assert (answer.status_code, answer.json()["seq"]) == (201, 1)
            await stopping

    asyncio.run(run())
