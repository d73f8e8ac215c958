"""Which sockets may be written to past their transports: one table of descriptors, where lanes hold places in it.

A transport that holds bytes back, or goes away, is taken out of the table by one assignment, however many groups its
connection is in. And a descriptor can never be another's: a slot is given to a new socket only once nobody holds it.
"""

from array import array
from typing import Final

SHUT: Final = -1
"""In place of a descriptor: write by the transport. As a slot: always by the transport."""

SLOTS_AT_FIRST: Final = 1_024


class Slots:
    """Descriptors by slot. Each is told by its own loop's thread alone; all of them may be read by any."""

    __slots__ = ("_free", "_holders", "_used", "fds")

    def __init__(self) -> None:
        self.fds = array("i", [SHUT]) * SLOTS_AT_FIRST
        self._holders = array("I", [0]) * SLOTS_AT_FIRST
        self._free = array("i")
        self._used = 0

    def take(self) -> int:
        """A slot of one's own, shut, and held once."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._used
            self._used += 1
            if slot == len(self.fds):
                # Another array, not a longer one: a thread may be sending by what stands in this.
                self.fds = self.fds + array("i", [SHUT]) * slot
                self._holders = self._holders + array("I", [0]) * slot
        self._holders[slot] = 1
        return slot

    def open(self, slot: int, fd: int) -> None:
        """From now on `fd` may be written to: its transport holds nothing back, and is not going away."""
        self.fds[slot] = fd

    def shut(self, slot: int) -> None:
        """No longer: before the transport is closed, and as soon as it holds anything back."""
        self.fds[slot] = SHUT

    def hold(self, slot: int) -> None:
        """Someone else keeps the slot too."""
        self._holders[slot] += 1

    def let_go(self, slot: int) -> None:
        """The other end of `take` and of `hold`. The last one shuts it, and it can be taken again."""
        self._holders[slot] -= 1
        if not self._holders[slot]:
            self.shut(slot)
            self._free.append(slot)

    def count(self) -> int:
        """Of slots that anyone holds."""
        return self._used - len(self._free)


SLOTS: Final = Slots()
"""Of this process, as descriptors are."""
