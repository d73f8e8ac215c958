"""The chain: golden hashes, and that no change to an entry goes unseen."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.model.entry import Entry, body_digest, first_break, follows, genesis, sealed
from folkmoot.model.position import position_at

VECTOR = json.loads((Path(__file__).parents[2] / "spec" / "vectors" / "chain.json").read_text())


def chain(count: int) -> list[Entry]:
    entries, before = [], genesis("g")
    for seq in range(1, count + 1):
        entry = sealed(
            before, group="g", epoch=1, seq=seq, kind="message", sender="u", device="d", send_id=str(seq), time_ms=seq,
            messages=seq, body=b"{}", salt=bytes([seq]),
        )  # fmt: skip
        entries.append(entry)
        before = entry.hash
    return entries


def test_the_golden_chain() -> None:
    fields: dict[str, Any] = dict(VECTOR["entry"])
    digest, expected = bytes.fromhex(fields.pop("digest")), bytes.fromhex(fields.pop("hash"))
    body, salt = fields.pop("body").encode(), bytes.fromhex(fields.pop("salt"))
    assert genesis(VECTOR["group"]).hex() == VECTOR["genesis"]
    entry = sealed(genesis(VECTOR["group"]), group=VECTOR["group"], body=body, salt=salt, **fields)
    assert (entry.digest, entry.hash) == (digest, expected)
    assert body_digest(salt, body) == digest
    assert str(position_at(1, 1, entry.hash)) == VECTOR["position"]


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 2}, {"seq": 3}, {"kind": "x"}, {"sender": "x"}, {"device": "x"}, {"send_id": "x"}, {"time_ms": 0},
        {"messages": 0}, {"body": b"[]"}, {"salt": b"x"}, {"digest": b"x" * 32}, {"hash": b"x" * 32}, {"group": "h"},
        {"body": None}, {"salt": None},
    ],
)  # fmt: skip
def test_a_change_to_any_part_is_seen(change: dict[str, Any]) -> None:
    first, second = chain(2)
    assert follows(first.hash, second)
    assert not follows(first.hash, msgspec.structs.replace(second, **change))


def test_erasing_body_and_salt_together_keeps_the_chain() -> None:
    entries = chain(3)
    entries[1] = msgspec.structs.replace(entries[1], body=None, salt=None)
    assert first_break(genesis("g"), 0, entries) is None


def test_the_first_break_is_found() -> None:
    entries = chain(5)
    assert first_break(genesis("g"), 0, entries) is None
    assert first_break(entries[1].hash, 2, entries[2:]) is None
    assert first_break(genesis("g"), 0, [*entries[:2], *entries[3:]]) == 4
    assert first_break(genesis("g"), 0, [entries[0], entries[0]]) == 1
    assert first_break(genesis("h"), 0, entries) == 1


def test_where_one_text_ends_and_the_next_begins_counts() -> None:
    one = sealed(
        genesis("g"), group="g", epoch=1, seq=1, kind="k", sender="ab", device="c", send_id="s", time_ms=0, messages=0,
        body=b"", salt=b"",
    )  # fmt: skip
    assert not follows(genesis("g"), msgspec.structs.replace(one, sender="a", device="bc"))
