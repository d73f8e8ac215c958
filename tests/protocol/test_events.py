"""The golden frames of `spec/vectors`: read whole, cut anywhere, with a tail; what is written reads back the same."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.model.body import parse_body
from folkmoot.model.entry import KINDS
from folkmoot.protocol.codec import JSON, FrameInvalid
from folkmoot.protocol.events import ClientEvent, EntryEvent, Event, ServerEvent, UnknownEvent

SPEC = (Path(__file__).parents[2] / "spec" / "protocol.md").read_text()
VECTORS = [json.loads(p.read_text()) for p in sorted((Path(__file__).parents[2] / "spec" / "vectors").glob("*.json"))]
NAMED = re.compile(r"`(\w+)`\s+`\{([^}]*)\}`")
FRAMES = [(v["event"], v["direction"], frame) for v in VECTORS for frame in v["frames"]]
BAD = [(v["direction"], bad["frame"], bad["code"]) for v in VECTORS for bad in v["bad"]]


def decode(direction: str, frame: bytes) -> Any:
    return JSON.decode_client(frame) if direction == "from client" else JSON.decode_server(frame)


@pytest.mark.parametrize(("event", "direction", "frame"), FRAMES)
def test_a_golden_frame_is_its_event_and_reads_back_the_same(event: str, direction: str, frame: str) -> None:
    decoded = decode(direction, frame.encode())
    if isinstance(decoded, UnknownEvent):
        assert event == "unknown"
        assert decoded.name == json.loads(frame)["t"]
        return
    assert decoded.__struct_config__.tag == event
    again = JSON.encode(decoded)
    assert decode(direction, again) == decoded
    # Nothing is written that was not there: defaults may be left out, the rest is as it came.
    assert json.loads(again).items() <= json.loads(frame).items()


@pytest.mark.parametrize(("event", "direction", "frame"), FRAMES)
def test_a_golden_frame_cut_anywhere_or_with_a_tail_is_none(event: str, direction: str, frame: str) -> None:
    raw = frame.encode()
    for end in range(len(raw)):
        with pytest.raises(FrameInvalid):
            decode(direction, raw[:end])
    for tail in (b"x", b"{}", b"\x00"):
        with pytest.raises(FrameInvalid):
            decode(direction, raw + tail)


@pytest.mark.parametrize(("direction", "frame", "code"), BAD)
def test_a_bad_frame_has_its_code(direction: str, frame: str, code: str) -> None:
    with pytest.raises(FrameInvalid) as raised:
        decode(direction, frame.encode())
    assert raised.value.code == code


def test_an_entry_of_an_unknown_kind_keeps_its_place() -> None:
    frames = [frame for event, _, frame in FRAMES if event == "entry" and "tomorrow" in frame]
    (entry,) = [JSON.decode_server(frame.encode()) for frame in frames]
    assert isinstance(entry, EntryEvent)
    assert (entry.seq, entry.kind) == (1, "a.kind.of.tomorrow")
    assert entry.position


@pytest.mark.parametrize("event", [*ClientEvent.__args__, *ServerEvent.__args__])
def test_the_spec_names_every_member_of_every_event(event: type[Event]) -> None:
    named = {tag: set(re.split(r"[,|]\s+|\s+[,|]\s+", members)) for tag, members in NAMED.findall(SPEC)}
    tag = str(event.__struct_config__.tag)
    assert named[tag] == set(event.__struct_fields__), f"spec/protocol.md: `{tag}` `{{...}}`"


def test_each_member_with_a_default_is_left_out_in_one_golden_frame_and_given_in_another() -> None:
    """So that a reader that takes one of them for granted is found, and one that never looks at it."""
    for event in (*ClientEvent.__args__, *ServerEvent.__args__):
        tag = event.__struct_config__.tag
        optional = {field.encode_name for field in msgspec.structs.fields(event) if not field.required}
        frames = [json.loads(frame) for name, _, frame in FRAMES if name == tag]
        always, never = optional.intersection(*frames), optional.difference(*frames)
        assert (always, never) == (set(), set()), f"spec/vectors/{tag}.json: always {always}, never {never}"


@pytest.mark.parametrize("tag", ["send", "entry"])
def test_every_kind_has_a_golden_body(tag: str) -> None:
    events = [json.loads(frame) for name, _, frame in FRAMES if name == tag]
    known = [event for event in events if event["kind"] in KINDS and event.get("body") is not None]
    for event in known:
        parse_body(event["kind"], msgspec.json.encode(event["body"]))
    assert {event["kind"] for event in known} == KINDS
