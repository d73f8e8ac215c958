"""Requests made from the OpenAPI document, good ones and bad: no fault of the server, nothing undocumented."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from folkmoot import __version__
from folkmoot.gateway.rest.document import document
from folkmoot.testing.served import Served

LUCKY = {
    "DELETE /v1/groups/{group}", "DELETE /v1/groups/{group}/members/{user}", "POST /v1/groups/{group}/join",
    "POST /v1/groups/{group}/members",
    "PUT /v1/groups/{group}/members/{user}/role", "DELETE /v1/keys/{key_id}",
    "GET /v1/users/{user}",
}  # fmt: skip
"""Only by luck would a made-up request succeed."""

STREAMS = {"GET /v1/groups/{group}/stream", "POST /v1/stream"}

EXAMPLES_MAX = 12
"""Of one call, one caller and one kind of request: some two thousand requests in all."""


def operation_of(found: Any) -> Any:
    """The operation, where the document has no fault."""
    return found.ok()


SCHEMA = schemathesis.openapi.from_dict(document(__version__))
CALLS = {call.label: call for found in SCHEMA.get_all_operations() if (call := operation_of(found)) is not None}


class Grounds(msgspec.Struct, frozen=True):
    """A server with a group on it, and the headers of those who ask."""

    url: str
    group: str
    headers: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """A process of its own: requests are made without a loop, and chance is Hypothesis' in this one."""
    data_dir = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--stop-with-stdin", "--port", "0"]
    rate = ["--set", "requests_per_s=100000", "--set", "requests_burst=100000", "--set", "refusals_per_minute=100000"]
    log = (data_dir / "server.log").open("wb")
    with log, subprocess.Popen(
        [*command, *rate, "--data-dir", str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["ready"]
        yield asyncio.run(prepared(Served(url, data_dir)))
        process.terminate()
        process.communicate()
    assert b"a request failed" not in (data_dir / "server.log").read_bytes()


async def prepared(server: Served) -> Grounds:
    async with server.rest("user-1") as rest, server.rest(token=server.operator()) as operator:
        made = await rest.post("/groups", json={"name": "g"}, headers={"Idempotency-Key": "make"})
        scopes = ["read", "write", "users", "tokens", "metrics", "keys"]
        key = await operator.post("/keys", json={"name": "all", "scopes": scopes, "requests_per_s": 10_000})
    headers = {
        "user": {"Authorization": f"Bearer {server.token('user-1')}"},
        "key": {"Authorization": f"Bearer {key.json()['key']}", "Folkmoot-User": "user-1"},
        "nobody": {},
    }
    return Grounds(server.url, made.json()["group"], headers)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("who", ["user", "key", "nobody"])
@pytest.mark.parametrize("call", CALLS)
def test_every_answer_is_documented(grounds: Grounds, call: str, who: str, mode: GenerationMode) -> None:
    health = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]

    statuses = set[int]()

    @given(case=CALLS[call].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES_MAX, deadline=None, database=None, derandomize=True, suppress_health_check=health)
    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and "group" in case.path_parameters and call not in LUCKY:
            case.path_parameters["group"] = grounds.group
            case.path_parameters["seq"] = 1
        asked = {"base_url": grounds.url, "headers": grounds.headers[who]}
        if call in STREAMS:
            # Asked for without waiting for its end, which a stream does not have.
            with requests.request(**case.as_transport_kwargs(**asked), stream=True, timeout=10) as begun:
                statuses.add(begun.status_code)
                if begun.status_code == 200:
                    assert begun.headers["Content-Type"] == "text/event-stream"
                    assert next(begun.iter_lines()).startswith(b"retry: ")
                    return
        response = case.call(**asked)
        statuses.add(response.status_code)
        assert response.status_code != 500, response.text
        checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
        case.validate_response(response, checks=checks)

    ask()
    if who == "nobody":
        assert statuses <= {400, 401, 404}
    elif who == "key" and mode is GenerationMode.POSITIVE and call not in LUCKY:
        assert statuses & {200, 201}, "no request succeeded: what was looked at then?"
