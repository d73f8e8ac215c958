"""Frames read whole, byte by byte and with a tail; what no client may send is noticed as early as may be."""

import msgspec
import pytest

from folkmoot.gateway.frames import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Frame,
    FrameTooLong,
    NotAFrame,
    check_close,
    read_frame,
    unmasked,
)
from folkmoot.testing.rude_client import client_frame

BYTES_MAX = 70_000


def read(data: bytes | bytearray, at: int = 0) -> Frame | None:
    return read_frame(data, at, payload_bytes_max=BYTES_MAX)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536, BYTES_MAX])
def test_a_frame_of_any_size_is_read_whole_and_with_a_tail_and_not_before_it_is_there(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    raw = client_frame(payload)
    frame = Frame(TEXT, True, False, payload, len(raw))
    assert read(raw) == frame
    assert read(bytearray(b"xy" + raw + raw), 2) == msgspec.structs.replace(frame, end=len(raw) + 2)
    for cut in {*range(min(20, len(raw))), len(raw) - 1}:
        assert read(raw[:cut]) is None


def test_what_the_first_byte_says_is_told() -> None:
    assert read(client_frame(b"p", PING)) == Frame(PING, True, False, b"p", 7)
    assert read(client_frame(b"p", BINARY, fin=False)) == Frame(BINARY, False, False, b"p", 7)
    for reserved in (1, 2, 4):
        assert read(client_frame(b"p", reserved=reserved)) == Frame(TEXT, True, True, b"p", 7)


@pytest.mark.parametrize("raw", [
    client_frame(b"{}", masked=False)[:2],
    *(client_frame(b"", opcode=opcode)[:2] for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    client_frame(b"p", PING, fin=False)[:2],
    client_frame(b"p" * 126, PING)[:2],
    b"\x81\xfe\x00\x7d",
    b"\x81\xff" + (65_535).to_bytes(8),
])  # fmt: skip
def test_what_no_client_may_send_is_noticed_by_its_first_bytes(raw: bytes) -> None:
    with pytest.raises(NotAFrame):
        read(raw)


@pytest.mark.parametrize("size", [BYTES_MAX + 1, 2**63, 2**64 - 1])
def test_a_frame_over_the_bound_is_noticed_by_its_length(size: int) -> None:
    with pytest.raises(FrameTooLong):
        read(b"\x81\xff" + size.to_bytes(8))


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1_001])
def test_a_mask_is_taken_off_byte_by_byte(size: int) -> None:
    payload, mask = bytes(number * 7 % 256 for number in range(size)), b"\x01\x80\x00\xff"
    assert unmasked(payload, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_closes(code: int) -> None:
    check_close(code.to_bytes(2) + b"why")
    check_close(b"")


@pytest.mark.parametrize(
    "payload", [b"\x03", *(code.to_bytes(2) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000))]
)
def test_others_do_not(payload: bytes) -> None:
    raw = client_frame(payload, CLOSE)
    frame = read(raw)
    assert frame is not None
    with pytest.raises(NotAFrame):
        check_close(frame.payload)
