"""Frames of the load are frames of the server's, and what is read of them is what they say."""

import json

import pytest

from folkmoot.bench.wire import (
    client_frame,
    event_frame,
    next_frame,
    number_of,
    stamp,
    stamp_of,
    upgrade_request,
)
from folkmoot.gateway.websocket import text_frame
from folkmoot.protocol.events import Ping


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_servers_frame_is_found_whole(size: int) -> None:
    payload = b"y" * size
    data = text_frame(b"{}") + text_frame(payload) + text_frame(b"[]")
    _, _, at = next_frame(data, 0)
    first, start, end = next_frame(data, at)
    assert (first, data[start:end]) == (0x81, payload)
    assert data[end:] == text_frame(b"[]")


@pytest.mark.parametrize("size", [1, 125, 126, 65_536])
def test_a_frame_without_its_end_is_none(size: int) -> None:
    whole = text_frame(b"y" * size)
    for cut in {0, 1, 2, 3, 9, len(whole) - 1} - {len(whole)}:
        if cut < len(whole):
            assert next_frame(whole[:cut], 0) == (0, 0, 0)


@pytest.mark.parametrize(("size", "head"), [(5, 6), (126, 8), (65_536, 14)])
def test_a_clients_frame_is_masked_with_zeros(size: int, head: int) -> None:
    frame = client_frame(b"z" * size)
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    assert frame[head - 4 : head] == b"\0\0\0\0"
    assert frame[head:] == b"z" * size


def test_an_event_is_its_json() -> None:
    frame = event_frame(Ping(ref="a"))
    assert json.loads(frame[6:]) == {"t": "ping", "ref": "a"}


def test_a_stamp_says_its_letter_and_its_time() -> None:
    payload = json.dumps({"t": "accepted", "id": stamp("t", 123_456), "group": "g"}, separators=(",", ":")).encode()
    assert stamp_of(payload, 0, len(payload)) == (ord("t"), 123_456)
    assert len(stamp("t", 0)) == len(stamp("t", 2**62))


@pytest.mark.parametrize("text", [b'{"id":"group-1"}', b'{"id":""}', b"{}", b'{"ref":"t0000000000000000001"}'])
def test_what_is_no_stamp_has_no_time(text: bytes) -> None:
    assert stamp_of(text, 0, len(text))[1] == -1


def test_a_number_ends_where_its_digits_end() -> None:
    assert number_of(b'{"seq":42,"x":1}', 0, 16, b'"seq":') == 42
    assert number_of(b'{"seq":7}', 0, 9, b'"seq":') == 7
    assert number_of(b'{"seq":null}', 0, 12, b'"seq":') == -1
    assert number_of(b"{}", 0, 2, b'"seq":') == -1


def test_the_upgrade_offers_the_protocol() -> None:
    request = upgrade_request("127.0.0.1", 80).decode()
    assert request.startswith("GET /v1/socket HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert "Sec-WebSocket-Protocol: folkmoot.v1.json\r\n" in request
    assert request.endswith("\r\n\r\n")
