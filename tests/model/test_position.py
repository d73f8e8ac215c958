"""A position's opaque form, and what a log says of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.position import Position, PositionInvalid, Standing, judge, parse_position, position_at

positions = st.builds(Position, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=8))


@given(positions)
def test_what_is_written_reads_back(position: Position) -> None:
    assert parse_position(str(position)) == position
    assert len(str(position)) == 27


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_invalid(text: str) -> None:
    try:
        position = parse_position(text)
    except PositionInvalid:
        return
    assert parse_position(str(position)) == position


@pytest.mark.parametrize("text", ["", "x", "A" * 26, "A" * 28, "é" * 27, "+" * 27, "A" * 26 + "="])
def test_what_is_none(text: str) -> None:
    with pytest.raises(PositionInvalid):
        parse_position(text)


def test_a_mark_is_the_first_8_bytes_of_the_hash() -> None:
    assert position_at(1, 5, bytes(range(32))) == Position(1, 5, bytes(range(8)))


def test_a_position_is_judged_by_its_mark_whatever_its_epoch() -> None:
    at = bytes(range(32))
    assert judge(position_at(1, 5, at), at) is Standing.HOLDS
    assert judge(position_at(9, 5, at), at) is Standing.HOLDS
    assert judge(position_at(1, 5, at), at[::-1]) is Standing.OTHER
    assert judge(position_at(1, 5, at), None) is Standing.AHEAD
