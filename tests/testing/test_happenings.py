"""What is seen of a run can be written down, byte for byte the same for the same run."""

import msgspec

from folkmoot.testing.happenings import Faulted, Happening, Noted


def test_happenings_can_be_written_down_and_read_again() -> None:
    seen: list[Happening] = [Noted(at_ms=1, who="router-1", what="started"), Faulted(at_ms=2, kind="lose", target="")]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=list[Happening]) == seen
