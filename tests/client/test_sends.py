"""What cannot become an entry is refused before it is kept."""

from typing import Any

import pytest

from folkmoot.client.errors import SendRefused
from folkmoot.client.sends import creation, message, prepared
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.protocol.limits import FRAME_BYTES_MAX


def test_a_message_is_kept_as_the_json_that_is_sent() -> None:
    send = prepared("s1", "g1", kinds.MESSAGE, message("hi", "app.move", {"to": [1, 2]}), 7)
    assert send.body == b'{"text":"hi","type":"app.move","data":{"to":[1,2]}}'
    assert send.join == 7


def test_false_and_empty_data_are_data() -> None:
    assert bytes(message("", "t", 0).data) == b"0"
    assert bytes(message("", "t", {}).data) == b"{}"
    assert bytes(message("x", "", None).data) == b""


@pytest.mark.parametrize(
    ("text", "type", "data", "code"),
    [
        ("", "", None, "bad_body"),
        ("x" * 8_001, "", None, "too_long"),
        ("", "t" * 101, None, "too_long"),
        ("", "t", "y" * 16_400, "too_long"),
        ("a", "", {"a": 1}, "bad_body"),
        ("", "t", object(), "bad_body"),
        ("lone \ud800", "", None, "bad_body"),
        ("", "t", "\ud800", "bad_body"),
    ],
)
def test_bodies_that_no_server_takes(text: str, type: str, data: Any, code: str) -> None:
    with pytest.raises(SendRefused) as refused:
        prepared("s1", "g1", kinds.MESSAGE, message(text, type, data), 1)
    assert refused.value.code == code


def test_data_nested_deeper_than_parsers_go() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SendRefused, match="bad_body"):
        message("", "t", deep)
    # Freed layer by layer: the interpreter's own way down could be too deep as well.
    while deep:
        deep = deep[0]


@pytest.mark.parametrize("send_id", ["", "a b", "x" * 129, "line\nbreak"])
def test_ids_that_are_none(send_id: str) -> None:
    with pytest.raises(SendRefused, match="bad_request"):
        prepared(send_id, "g1", kinds.MESSAGE, message("x", "", None), 1)


def test_a_group_that_cannot_be_one() -> None:
    with pytest.raises(SendRefused, match="no_such_group"):
        prepared("s1", "", kinds.MESSAGE, message("x", "", None), 1)
    assert prepared("s1", "", kinds.CREATED, creation("n", (), "join", "invite"), 0).group == ""


def test_what_fits_no_frame_would_end_the_connection_and_is_refused() -> None:
    members = [f"user-{number:0>100}" for number in range(700)]
    with pytest.raises(SendRefused, match="too_long"):
        prepared("s1", "", kinds.CREATED, creation("n", members, "join", "invite"), 0)


def test_the_largest_ordinary_message_fits_a_frame() -> None:
    send = prepared("s" * 128, "g" * 128, kinds.MESSAGE, message("😀" * 8_000, "t", "y" * 16_000), 2**62)
    frame = ev.Send(id=send.send_id, kind=send.kind, group=send.group, join=2**62, after="a" * 128)
    assert len(JSON.encode(frame)) + len(send.body) <= FRAME_BYTES_MAX


def test_bodies_are_the_models() -> None:
    assert creation("n", ["user-2"], "all", "open") == bodies.Created(
        name="n", history="all", entry="open", members=("user-2",)
    )
