"""The wire as the load speaks it: ready frames out, and of what comes in as little read as counting needs."""

import struct
from typing import Final

import msgspec

from folkmoot.gateway.websocket import text_frame
from folkmoot.model.position import position_at
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON

TEXT: Final = 0x81
PING: Final = 0x89
CLOSE: Final = 0x88
PONG: Final = 0x8A

STAMP_DIGITS: Final = 19
"""A time in nanoseconds, with zeros before it: the ids of the load's sends are a letter and this."""


def upgrade_request(host: str, port: int, path: str = "/v1/socket", subprotocol: str = ev.SUBPROTOCOL_JSON) -> bytes:
    """The whole HTTP request of a WebSocket. Its key proves nothing, so all sockets have the same."""
    offered = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Zm9sa21vb3QgYmVuY2ggMA==\r\n{offered}\r\n"
    ).encode()


def client_frame(payload: bytes, first: int = TEXT) -> bytes:
    """A client's frame, of text unless said otherwise. The mask is all zeros: allowed, and nothing to compute."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def event_frame(event: object) -> bytes:
    """The client's frame of an event."""
    return client_frame(msgspec.json.encode(event))


def ready_entry(group: str, seq: int, sender: str, send_id: str, text: bytes) -> bytes:
    """The frame that our server would send to each member of the group: the floor is handed it ready made."""
    entry = ev.EntryEvent(
        group=group,
        seq=seq,
        position=str(position_at(1, seq, b"\0" * 8)),
        kind="message",
        sender=sender,
        device="",
        id=send_id,
        time_ms=1_700_000_000_000,
        messages=seq,
        body=msgspec.Raw(b'{"text":"%b"}' % text),
    )
    return text_frame(JSON.encode(entry))


def next_frame(data: bytes, at: int) -> tuple[int, int, int]:
    """The server's frame that begins at `at`: its first byte, and where its payload starts and ends.

    The end is 0 where not all of it is there yet.
    """
    size = len(data)
    if size - at < 2:
        return 0, 0, 0
    length = data[at + 1]
    start = at + 2
    if length == 126:
        if size - at < 4:
            return 0, 0, 0
        length = (data[at + 2] << 8) | data[at + 3]
        start = at + 4
    elif length == 127:
        if size - at < 10:
            return 0, 0, 0
        length = int.from_bytes(data[at + 2 : at + 10], "big")
        start = at + 10
    end = start + length
    return (data[at], start, end) if end <= size else (0, 0, 0)


def stamp(letter: str, time_ns: int) -> str:
    """An id that says when its request was meant to be made. The letter says which kind of request it is."""
    return f"{letter}{time_ns:0{STAMP_DIGITS}d}"


def stamp_of(data: bytes, start: int, end: int, name: bytes = b'"id":"') -> tuple[int, int]:
    """The letter and the time of the stamp behind `name`; the time is -1 where what stands there is no stamp."""
    at = data.find(name, start, end)
    if at < 0:
        return 0, -1
    at += len(name)
    digits = data[at + 1 : at + 1 + STAMP_DIGITS]
    return data[at], int(digits) if len(digits) == STAMP_DIGITS and digits.isdigit() else -1


def number_of(data: bytes, start: int, end: int, name: bytes) -> int:
    """The whole number behind `name`, -1 where there is none. What comes after it is a comma or a brace."""
    at = data.find(name, start, end)
    if at < 0:
        return -1
    at += len(name)
    stop = at
    while stop < end and 48 <= data[stop] <= 57:
        stop += 1
    return int(data[at:stop]) if stop > at else -1
