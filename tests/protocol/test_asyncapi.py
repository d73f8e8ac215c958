"""The document says of the socket what the events say: whole, valid AsyncAPI, and true of every golden frame."""

import copy
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
import yaml
from pydantic import ValidationError
from pydantic_asyncapi.v3 import AsyncAPI

from folkmoot.protocol import events as ev
from folkmoot.protocol.asyncapi import REPLIES, UNASKED, document, schemas, tag_of

SPEC = Path(__file__).parents[2] / "spec"
VECTORS = {path.stem: json.loads(path.read_text()) for path in sorted((SPEC / "vectors").glob("*.json"))}
GOLDEN = [name for name, vector in VECTORS.items() if vector["event"] in schemas()]


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas()}}
    return jsonschema_rs.Draft202012Validator(whole)


@pytest.fixture(scope="module")
def kept() -> Any:
    return yaml.safe_load((SPEC / "asyncapi.yaml").read_text())


def as_read(document: Any) -> Any:
    """The document with an address for each reply, which this reader asks for and the specification does not."""
    read = copy.deepcopy(document)
    for operation in read["operations"].values():
        if "reply" in operation:
            operation["reply"]["address"] = {"location": "$message.payload#/t", "description": "none"}
    return read


def test_the_kept_document_is_valid_asyncapi(kept: Any) -> None:
    assert AsyncAPI.model_validate(as_read(kept)).asyncapi == "3.0.0"


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "ping", "action"), "shout"),
        (("channels", "socket", "messages", "ping"), 1),
        (("info",), {}),
    ],
)
def test_what_reads_it_would_notice_a_fault(kept: Any, path: tuple[str, ...], wrong: object) -> None:
    document = as_read(kept)
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = wrong
    with pytest.raises(ValidationError):
        AsyncAPI.model_validate(document)


def test_every_reference_leads_somewhere(kept: Any) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    found = references(kept)
    assert len(found) > 50
    for reference in found:
        part = kept
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_every_event_is_a_message_and_every_request_an_operation() -> None:
    made = document("1", {})
    events = {tag_of(event) for union in (ev.ClientEvent, ev.ServerEvent) for event in get_args(union)}
    assert set(made["components"]["messages"]) == set(made["channels"]["socket"]["messages"]) == events
    assert set(made["operations"]) == {tag_of(event) for event in get_args(ev.ClientEvent)} | {"unasked"}
    told = {event for replies in REPLIES.values() for event in replies} | set(UNASKED)
    assert told == set(get_args(ev.ServerEvent)), "say what it is a reply to, or that it comes by itself"


def test_every_message_has_a_golden_frame_as_example(kept: Any) -> None:
    for name, message in kept["components"]["messages"].items():
        for example in message["examples"]:
            validator(name).validate(example["payload"])


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_frame_is_as_its_schema_says(name: str) -> None:
    vector = VECTORS[name]
    assert vector["frames"]
    for frame in vector["frames"]:
        validator(vector["event"]).validate(json.loads(frame))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_frame_with_a_member_of_another_type_or_without_one_is_not(name: str) -> None:
    schema = validator(name)
    frame = json.loads(VECTORS[name]["frames"][0])
    for member in schemas()[name]["required"]:
        assert not schema.is_valid({key: value for key, value in frame.items() if key != member})
        assert not schema.is_valid(frame | {member: {"not": ["this"]}})
