"""An entry's body is read when asked for; a batch keeps the order and hides what this version does not know."""

import msgspec

from folkmoot.client.received import Batch, Hidden, Received, last_of_each_group, received_of
from folkmoot.protocol import events as ev


def entry(seq: int = 1, kind: str = "message", body: bytes = b'{"text":"hi"}', group: str = "g") -> Received:
    return received_of(
        ev.EntryEvent(
            group=group,
            seq=seq,
            position=f"p{seq}",
            kind=kind,
            sender="user-1",
            device="d",
            id=f"s{seq}",
            time_ms=5,
            messages=seq,
            body=msgspec.Raw(body),
        )
    )


def test_a_message() -> None:
    got = entry(body=b'{"text":"hi","type":"t","data":{"a":[1]}}')
    assert (got.text, got.type, got.data) == ("hi", "t", {"a": [1]})
    assert got.body == {"text": "hi", "type": "t", "data": {"a": [1]}}
    assert (got.group, got.seq, got.position, got.sender, got.device, got.send_id) == (
        "g", 1, "p1", "user-1", "d", "s1",
    )  # fmt: skip


def test_an_erased_message_has_no_text_and_no_body() -> None:
    got = entry(body=b"null")
    assert (got.text, got.type, got.data, got.body) == ("", "", None, None)


def test_another_kind_has_a_body_and_no_text() -> None:
    got = entry(kind="group.renamed", body=b'{"name":"n"}')
    assert got.text == ""
    assert got.body == {"name": "n"}


def test_a_batch_in_its_order() -> None:
    ended = ev.Ended(group="g", seq=2)
    batch = Batch([entry(1), Hidden("g", 2, "p2"), ended, entry(1, group="h")])
    assert batch.items == [entry(1), ended, entry(1, group="h")]
    assert batch.entries == list(batch) == [entry(1), entry(1, group="h")]
    assert len(batch) == 2


def test_the_last_of_each_group() -> None:
    hidden = Hidden("g", 2, "p2")
    assert last_of_each_group([entry(1), entry(1, group="h"), hidden]) == {"g": hidden, "h": entry(1, group="h")}
