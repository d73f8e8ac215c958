"""The decoder under fire: whatever comes in, it is an event or FrameInvalid, and never anything else."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.entry import genesis, sealed
from folkmoot.model.position import parse_position
from folkmoot.protocol.codec import CODECS, JSON, FrameInvalid, entry_event
from folkmoot.protocol.events import SUBPROTOCOL_JSON, Event, UnknownEvent

VECTORS = [json.loads(p.read_text()) for p in sorted((Path(__file__).parents[2] / "spec" / "vectors").glob("*.json"))]
GOLDEN = [frame.encode() for v in VECTORS for frame in v["frames"]]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def either(frame: bytes) -> None:
    """Decode as either end does: anything but an event or a FrameInvalid with its code fails the test."""
    for decode in (JSON.decode_client, JSON.decode_server):
        found: Any
        try:
            found = decode(frame)
        except FrameInvalid as invalid:
            found = invalid
        assert isinstance(found, Event | UnknownEvent) or found.code in ("not_json", "bad_event")


@given(st.binary(max_size=300))
def test_any_bytes(frame: bytes) -> None:
    either(frame)


@given(st.sampled_from(GOLDEN), st.data())
def test_golden_frames_with_bytes_changed(frame: bytes, data: st.DataObject) -> None:
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    either(bytes(changed))


@given(st.sampled_from(GOLDEN), st.text(max_size=10), values)
def test_golden_frames_with_members_of_any_type(frame: bytes, name: str, value: object) -> None:
    event = json.loads(frame)
    for target in (name, *event):
        if target != "t":
            either(json.dumps(event | {target: value}).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "frame",
    [
        b'{"t":"ping","ref":"\\ud800"}',
        b'{"t":"send","id":"a","kind":"message","body":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"[" * 60_000,
        b'{"t":"read","ref":"r","group":"g","limit":1e999}',
        b"\xff\xfe{}",
        b'{"t":"ping","ref":"\xed\xa0\x80"}',
        b"",
        b"null",
    ],
)
def test_what_breaks_parsers(frame: bytes) -> None:
    either(frame)


def test_a_codec_is_found_by_its_subprotocol() -> None:
    assert CODECS[SUBPROTOCOL_JSON] is JSON
    assert JSON.text


def test_what_clients_are_shown_of_an_entry() -> None:
    entry = sealed(
        genesis("g"), group="g", epoch=3, seq=1, kind="message", sender="u", device="d", send_id="s", time_ms=5,
        messages=1, body=b'{"text":"hi"}', salt=b"salt",
    )  # fmt: skip
    event = entry_event(entry)
    position = parse_position(event.position)
    assert (position.epoch, position.seq, position.mark) == (3, 1, entry.hash[:8])
    assert json.loads(JSON.encode(event))["body"] == {"text": "hi"}
    erased = entry_event(msgspec.structs.replace(entry, body=None, salt=None))
    assert json.loads(JSON.encode(erased))["body"] is None
    assert b"salt" not in JSON.encode(event)
