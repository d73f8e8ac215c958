"""Subjects: each has its row in the table, and every message survives the journey."""

import re

import msgspec
import pytest

from folkmoot.model.entry import genesis, sealed
from folkmoot.model.ids import partition_of
from folkmoot.model.send import Send
from folkmoot.ports import subjects
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.ports.store import MovedPointer


def test_every_subject_has_a_row_and_every_row_a_subject() -> None:
    rows = set(re.findall(r"^\| `(\w+)\.", subjects.__doc__ or "", re.MULTILINE))
    made = {
        subjects.submit("g"), subjects.entries("g"), subjects.heads(1), subjects.announce(1), subjects.online(1),
        subjects.hints("u"), subjects.pointers("u"), subjects.push("e"), subjects.RECALL,
        subjects.STANDING,
        subjects.WRITES,
        subjects.alive("router"),
    }  # fmt: skip
    assert {subject.partition(".")[0] for subject in made} == rows


def test_subjects_of_groups_and_users_name_their_partition() -> None:
    assert subjects.submit("g") == f"submit.{partition_of('g')}"
    assert subjects.hints("user-1") == f"hints.{partition_of('user-1')}"


ENTRY = sealed(
    genesis("g"), group="g", epoch=1, seq=1, kind="message", sender="u", device="d", send_id="s", time_ms=0, messages=1,
    body=b"{}", salt=b"",
)  # fmt: skip
SEND = Send(group="g", sender="u", device="d", send_id="s", join=1, after="r", kind="message", body=b"{}")


@pytest.mark.parametrize(
    "message",
    [
        subjects.Submit(SEND),
        subjects.Answer("g", "s", seq=3),
        subjects.Answer("g", "s", code="slow_down", retry_after_ms=5),
        subjects.Stored("g", [ENTRY]),
        subjects.Heads({"g": 3}),
        subjects.Announce("e", {"g": 3, "h": None}, ["i"]),
        subjects.Online("e", ["u"], ["v"]),
        subjects.Announced("i"),
        subjects.Recall("i"),
        subjects.Recall("i", [1, 2]),
        subjects.Alive("i", leaving=True),
        subjects.StandingMoved(user="u"),
        subjects.StandingMoved(key="k"),
        subjects.Hint("g", ["u"], 3),
        subjects.PointerMoved("g", "u", 3, 2),
    ],
)
def test_messages_read_back(message: msgspec.Struct) -> None:
    raw = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(raw, type=type(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        subjects.Stored("g", [ENTRY]),
        subjects.Heads({"g": 3}),
        subjects.Hint("g", ["u"], 3),
        subjects.PointerMoved("g", "u", 3, 2),
    ],
)
def test_a_push_says_what_it_is(message: msgspec.Struct) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=subjects.Push) == message


@pytest.mark.parametrize(
    "write",
    [
        subjects.MovePointers([MovedPointer("g", "u", 1, 2)]),
        subjects.MovePointers([]),
        subjects.PutProfile(Profile(user="u", name="U", data=b"{}")),
        subjects.SetActive("u", False, 5),
        subjects.SignOut("u", "d", 5),
        subjects.PutKey(ApiKey(id="k", name="n", secret_hash=b"h", scopes=("read",), requests_per_s=1.0, created_ms=1)),
        subjects.RevokeKey("k", 5),
    ],
)
def test_a_write_for_another_process_says_what_it_is(write: msgspec.Struct) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(write), type=subjects.SharedWrite) == write
