"""What load processes counted adds up to one tally."""

import msgspec

from folkmoot.bench.jobs import Tally, merged


def test_tallies_add_up() -> None:
    one = Tally(sent=3, delivered=30, expected=30, failed={"unsent": 1}, by_second=[1, 2], frame_bytes=100)
    other = Tally(sent=4, delivered=40, expected=41, failed={"unsent": 2, "flood": 1}, by_second=[5, 0, 7])
    one.deliveries.add([5_000_000])
    other.deliveries.add([5_000_000, 9_000_000])
    whole = merged([one, other])
    assert (whole.sent, whole.delivered, whole.expected) == (7, 70, 71)
    assert whole.failed == {"unsent": 3, "flood": 1}
    assert whole.by_second == [6, 2, 7]
    assert whole.frame_bytes == 100
    assert whole.deliveries.count == 3


def test_a_tally_crosses_a_pipe() -> None:
    tally = Tally(sent=1)
    tally.answers.add([1_234_567])
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally
