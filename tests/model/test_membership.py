"""What memberships let their users see, and where someone who was away reads on."""

import pytest

from folkmoot.model.membership import Membership, Span, current, span_after, span_of, unread

STAYS = (Membership(3, 10, "member"), Membership(15, 20, "member"), Membership(25, None, "admin"))


@pytest.mark.parametrize(
    ("seq", "expected"),
    [
        (0, Span(3, 10)), (2, Span(3, 10)), (3, Span(3, 10)), (9, Span(3, 10)), (10, Span(15, 20)), (12, Span(15, 20)),
        (14, Span(15, 20)), (20, Span(25, None)), (24, Span(25, None)), (25, Span(25, None)), (99, Span(25, None)),
    ],
)  # fmt: skip
def test_where_someone_reads_on(seq: int, expected: Span) -> None:
    assert span_after(STAYS, seq, history_all=False) == expected


def test_with_all_history_there_is_nothing_to_skip() -> None:
    for seq in (0, 5, 10, 12, 22, 99):
        assert span_after(STAYS, seq, history_all=True) == Span(1, None)
    assert span_after(STAYS[:2], 12, history_all=True) == Span(1, 20)


def test_once_all_is_over_nothing_is_left() -> None:
    assert span_after(STAYS[:2], 20, history_all=False) is None
    assert span_after(STAYS[:2], 99, history_all=True) is None
    assert span_after((), 0, history_all=True) is None


def test_what_one_membership_shows() -> None:
    assert span_of(STAYS[0], history_all=False) == Span(3, 10)
    assert span_of(STAYS[0], history_all=True) == Span(1, 10)


def test_the_lasting_one() -> None:
    assert current(STAYS) == STAYS[2]
    assert current(STAYS[:2]) is None
    assert [stay.lasts for stay in STAYS] == [False, False, True]


def test_unread_is_a_subtraction_and_never_negative() -> None:
    assert unread(10, 4) == 6
    assert unread(4, 10) == 0


def test_what_a_span_holds() -> None:
    assert 3 in Span(3, 10)
    assert 10 in Span(3, 10)
    assert 11 not in Span(3, 10)
    assert 10**9 in Span(3, None)
    assert 2 not in Span(3, None)
