"""Room kept aside: made, given back, made again, and no trouble where there is none."""

from pathlib import Path

from folkmoot.backends.sqlite.reserve import Reserve


def test_room_is_set_aside_given_back_and_set_aside_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 8_192)
    assert not reserve.held
    assert reserve.make()
    assert reserve.held
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 8_192  # Real blocks, not a promise of some.
    assert reserve.release()
    assert not reserve.release()
    assert not reserve.held
    assert reserve.make()


def test_where_there_is_no_room_it_says_so(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "missing" / "reserve", 8_192)
    assert not reserve.make()
    assert not reserve.held


def test_none_wanted_is_none_kept(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 0)
    assert reserve.make()
    assert not reserve.held
    assert not (tmp_path / "reserve").exists()


def test_room_is_looked_for_and_nothing_is_left_of_the_look(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 0)
    assert reserve.room(8_192)
    assert not reserve.room(2**62)
    assert not Reserve(tmp_path / "missing" / "reserve", 0).room(8_192)
    assert list(tmp_path.iterdir()) == []
