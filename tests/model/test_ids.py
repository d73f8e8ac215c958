"""Names, and what is derived from them: the same for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.ids import PARTITIONS, group_id, is_name, partition_of


@pytest.mark.parametrize("name", ["user-1", "a", "x" * 128, "[nick]`^{}|", "日本", "a@b.example"])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a\nb", "\x00", "a\u200b", "\ud800"])
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_a_groups_id_never_changes() -> None:
    assert group_id("user-1", "make") == "geqbkokn5mjbxcr6rzaznrvfh"
    assert group_id("user-1", "make") != group_id("user-2", "make")
    # The border between creator and send id is part of it.
    assert group_id("ab", "c") != group_id("a", "bc")


@given(st.text())
def test_partitions(name: str) -> None:
    if is_name(name):
        assert 0 <= partition_of(name) < PARTITIONS


def test_partitions_never_change() -> None:
    assert [partition_of(name) for name in ("user-1", "user-2", "gabc")] == [532, 942, 118]
