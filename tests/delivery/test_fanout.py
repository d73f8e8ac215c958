"""Who has to hear of what: newcomers of an entry, users and heads by edge."""

import msgspec
import pytest

from folkmoot.delivery.fanout import by_edge_of_user, heads_by_edge, newcomers
from folkmoot.delivery.roster import Rosters
from folkmoot.model.entry import Entry, genesis, sealed


def an_entry(kind: str, body: dict[str, object]) -> Entry:
    return sealed(
        genesis("g"), group="g", epoch=1, seq=1, kind=kind, sender="s", device="d", send_id="i", time_ms=0,
        messages=0, body=msgspec.json.encode(body), salt=b"",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("group.created", {"name": "g", "members": ["a"]}, ["s", "a"]),
        ("member.added", {"users": ["a", "b"]}, ["a", "b"]),
        ("member.joined", {}, ["s"]),
        ("member.left", {}, []),
        ("message", {"text": "x"}, []),
        ("a.kind.of.tomorrow", {"users": ["a"]}, []),
    ],
)
def test_newcomers(kind: str, body: dict[str, object], expected: list[str]) -> None:
    assert newcomers(an_entry(kind, body)) == expected


def test_an_erased_entry_has_no_newcomers() -> None:
    entry = an_entry("member.added", {"users": ["a"]})
    assert newcomers(msgspec.structs.replace(entry, body=None, salt=None)) == []


def test_users_and_heads_are_told_to_their_edges_only() -> None:
    rosters = Rosters()
    rosters.announce("e1", ["g"], [], 0)
    rosters.announce("e2", ["g", "h"], [], 0)
    rosters.online("e1", ["u"], [], 0)
    assert by_edge_of_user(rosters.edges_of_user, ["u", "v"]) == {"e1": ["u"]}
    assert heads_by_edge(rosters.edges_of_group, {"g": 3, "h": 4, "x": 5}) == {"e1": {"g": 3}, "e2": {"g": 3, "h": 4}}
