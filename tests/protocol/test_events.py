"""The golden frames of `spec/vectors`: read whole, cut anywhere, with a tail; what is written reads back the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from folkmoot.protocol.codec import JSON, FrameInvalid
from folkmoot.protocol.events import EntryEvent, UnknownEvent

VECTORS = [json.loads(p.read_text()) for p in sorted((Path(__file__).parents[2] / "spec" / "vectors").glob("*.json"))]
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
