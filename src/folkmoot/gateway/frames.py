"""What a client's WebSocket says, frame by frame (RFC 6455, 5.2), out of the bytes that came: no socket, no buffer.

A parser object a connection, however good, is kept by each that is idle: 4 KB of it. Here nothing is kept but the part
of a frame that has come, by whoever reads, and only until the rest has.
"""

from typing import Final

import msgspec

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CLOSE_PROTOCOL_ERROR: Final = 1002
CONTROL_BYTES_MAX: Final = 125
_OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_MASK_BYTES: Final = 4


class NotAFrame(Exception):
    """The bytes are none that a client of WebSocket may send; the text says why. Nothing after them can be read."""


class FrameTooLong(Exception):
    """A frame says that it is longer than may be."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame: its payload without the mask, and where it ends in the bytes that it was read from."""

    opcode: int
    is_final: bool
    has_reserved: bool
    payload: bytes
    end: int


def read_frame(data: bytes | bytearray, at: int, *, payload_bytes_max: int) -> Frame | None:
    """The frame that begins at `at`, or None while some of it is still to come. Raises NotAFrame, FrameTooLong."""
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, is_final, size = first & 0x0F, first & 0x80 != 0, second & 0x7F
    if opcode not in _OPCODES:
        raise NotAFrame("an opcode that there is not")
    if not second & 0x80:
        raise NotAFrame("a client's frame is masked")
    if opcode >= CLOSE and (size > CONTROL_BYTES_MAX or not is_final):
        raise NotAFrame(f"a control frame is whole and has at most {CONTROL_BYTES_MAX} bytes")
    at += 2
    if size > CONTROL_BYTES_MAX:
        wide = 2 if size == 126 else 8
        if len(data) < at + wide:
            return None
        size = int.from_bytes(data[at : at + wide])
        at += wide
        if size < (126 if wide == 2 else 65_536):
            raise NotAFrame("a length in more bytes than it needs")
        if size > payload_bytes_max:
            raise FrameTooLong
    end = at + _MASK_BYTES + size
    if len(data) < end:
        return None
    payload = unmasked(data[at + _MASK_BYTES : end], data[at : at + _MASK_BYTES])
    return Frame(opcode, is_final, first & 0x70 != 0, payload, end)


def unmasked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """The payload without its mask of 4 bytes: as two numbers, which is a loop in C."""
    size = len(payload)
    whole = (mask * (size // _MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(whole, "little")).to_bytes(size, "little")


def check_close(payload: bytes) -> None:
    """Raises NotAFrame unless it is what a close frame may hold: nothing, or a code that may be sent, and a reason."""
    if not payload:
        return
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not (code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)):
        raise NotAFrame("no code that a connection may be closed with")
