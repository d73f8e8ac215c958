"""The OpenAPI document: whole, true to the tables, and without a reference to nowhere."""

import json
import re
from typing import Any

import msgspec
import pytest

from folkmoot.gateway.problem import MEDIA_TYPE, STATUS
from folkmoot.gateway.rest import groups, keys, members, messages, pointers, streams, users
from folkmoot.gateway.rest.document import EXAMPLES, document
from folkmoot.protocol.errors import CODES


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document("9.8.7")


def operations(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in made["paths"].values() for operation in methods.values()]


def test_it_is_of_its_version_and_the_same_each_time(made: dict[str, Any]) -> None:
    assert (made["openapi"], made["info"]["version"]) == ("3.1.0", "9.8.7")
    assert document("9.8.7") == made


def test_every_reference_is_to_something(made: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(made)))
    assert named == set(made["components"]["schemas"])


def test_every_operation_is_described_to_its_end(made: dict[str, Any]) -> None:
    assert len({operation["operationId"] for operation in operations(made)}) == 28
    for operation in operations(made):
        assert operation["summary"]
        assert operation["description"]
        assert all(parameter["description"] for parameter in operation.get("parameters", ()))
        statuses = operation["responses"]
        assert {"400", "401", "403", "429", "500", "503"} <= set(statuses)
        for status, response in statuses.items():
            (media_type,) = response["content"]
            answers = "text/event-stream" if operation["operationId"].startswith("stream") else "application/json"
            assert media_type == (answers if status.startswith("2") else MEDIA_TYPE)
            for code in re.findall(r"`(\w+)`:", response["description"]) if int(status) >= 400 else ():
                assert int(STATUS[code]) == int(status)
                assert CODES[code].meaning in response["description"]


def test_every_request_has_an_example_that_its_shape_takes(made: dict[str, Any]) -> None:
    taken = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for operation in operations(made)
        if "requestBody" in operation
    }
    assert taken == set(EXAMPLES)
    modules = (groups, keys, members, messages, pointers, streams, users)
    for name, example in EXAMPLES.items():
        shape = next(vars(module)[name] for module in modules if name in vars(module))
        msgspec.json.decode(msgspec.json.encode(example), type=shape)
