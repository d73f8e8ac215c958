"""Bodies: their shapes, their bounds, and one canonical form."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.body import (
    DATA_BYTES_MAX,
    GROUP_NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
    TYPE_CHARS_MAX,
    USERS_PER_ENTRY_MAX,
    BodyInvalid,
    Created,
    Message,
    canonical,
    parse_body,
)
from folkmoot.model.entry import KINDS


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("message", {"text": "x" * TEXT_CHARS_MAX}),
        ("message", {"type": "poll", "data": {"n": [1, None, "x"]}}),
        ("message", {"type": "wave"}),
        ("message", {"text": "fallback", "type": "poll", "data": 5}),
        ("group.created", {"name": "g"}),
        ("group.created", {"name": "g", "history": "all", "entry": "open", "members": ["a", "b"]}),
        ("group.renamed", {"name": "g"}),
        ("group.deleted", {}),
        ("member.joined", {}),
        ("member.added", {"users": [f"u{n}" for n in range(USERS_PER_ENTRY_MAX)]}),
        ("member.left", {}),
        ("member.removed", {"user": "a"}),
        ("member.role", {"user": "a", "role": "admin"}),
    ],
)
def test_good_bodies(kind: str, body: dict[str, Any]) -> None:
    assert kind in KINDS
    parsed = parse_body(kind, msgspec.json.encode(body))
    assert parse_body(kind, canonical(parsed)) == parsed


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("message", {}, "bad_body"),
        ("message", {"text": ""}, "bad_body"),
        ("message", {"text": 5}, "bad_body"),
        ("message", {"text": "x", "extra": 1}, "bad_body"),
        ("message", {"text": "x", "data": 1}, "bad_body"),
        ("message", {"text": "x" * (TEXT_CHARS_MAX + 1)}, "too_long"),
        ("message", {"type": "t" * 101}, "too_long"),
        ("message", {"type": "t", "data": "x" * DATA_BYTES_MAX}, "too_long"),
        ("message", [], "bad_body"),
        ("group.created", {"name": " "}, "bad_body"),
        ("group.created", {"name": "x" * 201}, "bad_body"),
        ("group.created", {"name": "g", "history": "some"}, "bad_body"),
        ("group.created", {"name": "g", "members": ["a", "a"]}, "bad_body"),
        ("member.added", {"users": []}, "bad_body"),
        ("member.added", {"users": ["a b"]}, "bad_body"),
        ("member.added", {"users": [f"u{n}" for n in range(USERS_PER_ENTRY_MAX + 1)]}, "too_long"),
        ("member.removed", {}, "bad_body"),
        ("member.role", {"user": "a", "role": "king"}, "bad_body"),
        ("no.such.kind", {}, "unknown_kind"),
        ("skip", {}, "unknown_kind"),
    ],
)
def test_bad_bodies_and_their_codes(kind: str, body: Any, code: str) -> None:
    with pytest.raises(BodyInvalid) as raised:
        parse_body(kind, msgspec.json.encode(body))
    assert raised.value.code == code


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"type":"t","data":' + b"[" * 8_000 + b"]" * 8_000 + b"}"])
def test_what_is_no_json_or_nested_too_deep(raw: bytes) -> None:
    with pytest.raises(BodyInvalid):
        parse_body("message", raw)


@pytest.mark.parametrize(
    "data",
    [
        b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\\ud800"', b'"\\ud800\\u0041"', b'{"\xed\xa0\x80":1}', b"NaN",
        b"1e999", b"1" * 5_000, b"01", b"[1,]", b"tru", b'"\x01"', b"\xef\xbb\xbf1", b'"a', b"{}{}",
    ],
)  # fmt: skip
def test_data_that_some_parser_would_not_take_is_nobodys(data: bytes) -> None:
    with pytest.raises(BodyInvalid) as raised:
        parse_body("message", b'{"type":"t","data":' + data + b"}")
    assert raised.value.code == "bad_body"


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: f'"{text}"'.encode("utf-8", "surrogatepass")))
def test_whatever_is_taken_as_data_can_be_read_by_everybody(data: bytes) -> None:
    try:
        parsed = parse_body("message", b'{"type":"t","data":' + data + b"}")
    except BodyInvalid:
        return
    stored = canonical(parsed)
    assert json.loads(stored.decode("utf-8"))["type"] == "t"
    assert msgspec.json.decode(stored)["type"] == "t"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("message", {"type": "t" * TYPE_CHARS_MAX}),
        ("message", {"type": "t", "data": "x" * (DATA_BYTES_MAX - 2)}),
        ("group.renamed", {"name": "x" * GROUP_NAME_CHARS_MAX}),
    ],
)
def test_what_just_fits(kind: str, body: dict[str, Any]) -> None:
    parse_body(kind, msgspec.json.encode(body))


def test_the_same_request_has_the_same_bytes_however_it_was_written() -> None:
    spaced = parse_body("message", b'{ "text" : "hi" }')
    assert canonical(spaced) == canonical(Message(text="hi")) == b'{"text":"hi"}'
    assert canonical(parse_body("group.created", b'{"name":"g","history":"join","members":[]}')) == b'{"name":"g"}'
    assert canonical(Created(name="g")) == b'{"name":"g"}'


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=80))
def test_any_bytes_are_a_body_or_invalid(kind: str, raw: bytes) -> None:
    try:
        parsed = parse_body(kind, raw)
    except BodyInvalid:
        return
    assert parse_body(kind, canonical(parsed)) == parsed
