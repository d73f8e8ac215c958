"""The arithmetic of buckets, the order of projections, and stays as they were at a seq."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.backends.cassandra.rows import (
    SEQ_END,
    bounded,
    bucket_of,
    genesis_row,
    key_of,
    last_of,
    room_after,
    send_key_of,
    stays_of,
    timestamp,
)
from folkmoot.model.membership import Membership

SIZES = st.integers(2, 2_000)
SEQS = st.integers(0, 10**12)


@given(SEQS, SIZES)
def test_the_room_after_a_seq_ends_with_the_bucket_of_the_next(seq: int, size: int) -> None:
    room, bucket = room_after(seq, size), bucket_of(seq + 1, size)
    assert 1 <= room <= size
    assert bucket_of(seq + room, size) == bucket
    assert bucket_of(seq + room + 1, size) == bucket + 1
    assert last_of(bucket, size) == seq + room


@given(SEQS, SIZES)
def test_a_head_is_full_where_the_next_entry_is_elsewhere(seq: int, size: int) -> None:
    from msgspec.structs import replace

    row = replace(genesis_row("g", 1), seq=seq, bucket=bucket_of(seq, size))
    assert row.full(size) == (bucket_of(seq + 1, size) != row.bucket)
    assert row.head(size).room == room_after(seq, size)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 2**46)), min_size=2, max_size=9))
def test_timestamps_are_in_the_order_of_epoch_and_seq(positions: list[tuple[int, int]]) -> None:
    first = 1_700_000_000
    for (epoch, seq), (other_epoch, other_seq) in itertools.pairwise(sorted(positions)):
        before, after = timestamp(first + epoch, seq, first), timestamp(first + other_epoch, other_seq, first)
        assert 0 < before <= after < 2**63
        assert (before == after) == ((epoch, seq) == (other_epoch, other_seq))


def test_an_epoch_from_before_the_keyspace_counts_as_its_own() -> None:
    assert timestamp(1, 5, 1_700_000_000) == timestamp(1_700_000_000, 5, 1_700_000_000)


def test_a_key_is_one_text_and_comes_apart_again() -> None:
    for key in (("user-1", "s1"), ("é", "中"), ("a.b", "c:d/e")):
        assert send_key_of(key_of(key)) == key


def test_stays_are_as_they_were() -> None:
    rows = [
        ("a", 1, 1, None, "member"),
        ("a", 1, 5, None, "admin"),
        ("a", 1, 7, 7, "admin"),
        ("a", 9, 9, None, "member"),
    ]
    assert stays_of(rows, 0) == {}
    assert stays_of(rows, 4) == {"a": (Membership(1, None, "member"),)}
    assert stays_of(rows, 6) == {"a": (Membership(1, None, "admin"),)}
    assert stays_of(rows, 8) == {"a": (Membership(1, 7, "admin"),)}
    assert stays_of(rows, 9) == {"a": (Membership(1, 7, "admin"), Membership(9, None, "member"))}


def test_seqs_from_outside_fit() -> None:
    assert (bounded(-3), bounded(7), bounded(10**30)) == (1, 7, SEQ_END)
