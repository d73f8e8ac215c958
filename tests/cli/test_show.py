"""How entries look: one line each, with nothing in it that a terminal would obey."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.cli.show import as_json, as_text, event_text
from folkmoot.client.received import Received
from folkmoot.protocol import events as ev


def entry(kind: str, body: Any, sender: str = "ann") -> Received:
    return Received("g1", 7, "pos", kind, sender, "phone", "s1", 0, 3, msgspec.Raw(msgspec.json.encode(body)))


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("message", {"text": "hello"}, "ann: hello"),
        ("message", {"type": "poll", "data": [1]}, "ann: (poll)"),
        ("message", {"type": "poll", "text": "a poll"}, "ann: a poll"),
        ("message", None, "ann: (erased)"),
        ("group.created", {"name": "tea"}, "* ann made the group 'tea'"),
        ("group.renamed", {"name": "tea"}, "* ann named the group 'tea'"),
        ("member.added", {"users": ["bob", "cat"]}, "* ann added bob, cat"),
        ("member.removed", {"user": "bob"}, "* ann removed bob"),
        ("member.role", {"user": "bob", "role": "admin"}, "* ann made bob admin"),
        ("member.joined", {}, "* ann joined"),
        ("member.left", {}, "* ann left"),
        ("group.deleted", {}, "* ann deleted the group"),
        ("of.tomorrow", {"x": 1}, "* of.tomorrow"),
    ],
)
def test_each_kind_says_what_happened(kind: str, body: Any, said: str) -> None:
    assert as_text(entry(kind, body)).split(maxsplit=2)[1:] == ["7", said]


def test_of_several_groups_the_name_is_said_or_the_id() -> None:
    assert as_text(entry("member.left", {}), names={"g1": "tea"}).split(maxsplit=1)[1] == "tea     7 * ann left"
    assert as_text(entry("member.left", {}), names={}).split(maxsplit=1)[1] == "g1     7 * ann left"


def test_nothing_that_is_sent_moves_the_cursor() -> None:
    line = as_text(entry("message", {"text": "a\x1b[2Jb\r\nc\td\u202ee\0"}))
    assert line.endswith("ann: a\ufffd[2Jb\ufffd\ufffdc\ufffdd\ufffde\ufffd")


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    line = as_text(entry("message", {"text": text}))
    assert line.isprintable()


@given(st.text())
def test_for_scripts_it_is_the_entry_as_clients_get_it(text: str) -> None:
    line = as_json(entry("message", {"text": text}))
    assert "\n" not in line
    assert json.loads(line) == {
        "group": "g1", "seq": 7, "position": "pos", "kind": "message", "sender": "ann", "device": "phone",
        "time_ms": 0, "id": "s1", "body": {"text": text},
    }  # fmt: skip


def test_only_what_is_not_as_it_should_be_is_said_of_a_group() -> None:
    assert event_text(ev.Ended(group="g1", seq=7)) == "(g1: you are no longer a member)"
    assert "not one of this log" in event_text(ev.Reset(group="g1", reason="ahead"))
    assert event_text(ev.Recovered(group="g1", position="pos", seq=7)) == ""
