"""Partitions dealt by rendezvous: each has one owner, everyone computes the same, and few move."""

from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.model.ids import PARTITIONS
from folkmoot.model.partitions import ALL, moved, owned_by, owner_of

views = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


@settings(max_examples=25, deadline=None)
@given(views)
def test_each_partition_has_one_owner_whoever_computes_it(view: list[str]) -> None:
    shares = [owned_by(instance, view) for instance in view]
    assert sum(len(share) for share in shares) == PARTITIONS
    assert frozenset().union(*shares) == ALL
    for instance, share in zip(view, shares, strict=True):
        assert owned_by(instance, list(reversed(view))) == share
        assert all(owner_of(partition, view) == instance for partition in list(share)[:20])


@settings(max_examples=25, deadline=None)
@given(views, st.text(min_size=1, max_size=8))
def test_who_comes_takes_from_everyone_and_nothing_else_moves(view: list[str], newcomer: str) -> None:
    with_it = [*view, newcomer] if newcomer not in view else view
    assert moved(view, with_it) == (owned_by(newcomer, with_it) if newcomer not in view else frozenset())
    assert moved(with_it, view) == moved(view, with_it)


def test_shares_are_about_even() -> None:
    view = [f"instance {number}" for number in range(4)]
    assert all(180 < len(owned_by(instance, view)) < 340 for instance in view)


def test_alone_one_owns_all_and_with_nobody_nobody_does() -> None:
    assert owned_by("a", ["a"]) == ALL
    assert owned_by("a", []) == ALL
    assert owner_of(1, []) is None
    assert moved([], ["a"]) == ALL
