"""What a group's log, read from its first entry, has to say of itself and of all that was made of it: pure rules."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from folkmoot.model.entry import MESSAGE, Entry, body_digest, follows
from folkmoot.model.fold import fold
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.membership import Membership

DAMAGES_OF_GROUP_MAX: Final = 20
"""Kept of one group; those beyond are counted."""

_PROJECTED: Final = ("name", "history_all", "open", "members_count", "owners_count")

Row: TypeAlias = tuple[Entry, int | None]
"""An entry, and the seq that the outcome of its send names: None where it has none, or was refused."""


class Damage(msgspec.Struct, frozen=True):
    """Something that contradicts the log, or the log itself: in which group ("": none in particular), and where."""

    group: str
    seq: int
    what: str


class LogAudit:
    """One group's log, given in order page by page, then held against the rest. Holds one state, and no entries.

    After a damage it goes on with what the log says there, so that one is not told again at every later entry. Past a
    gap, or an erased body of anything but a message, nobody knows what the group became: that is no longer judged.
    """

    def __init__(self, group: str, *, damages_max: int = DAMAGES_OF_GROUP_MAX) -> None:
        self.damages: list[Damage] = []
        self.more = 0
        self.group = group
        self._state = empty_group(group, 0, 1)
        self._seq = 0
        self._epoch = 0
        self._messages = 0
        self._hash: bytes | None = self._state.head.hash
        self._folds = True
        self._damages_max = damages_max

    @property
    def seq(self) -> int:
        """The last that was read."""
        return self._seq

    @property
    def full(self) -> bool:
        """Whether no damage more is kept."""
        return len(self.damages) >= self._damages_max

    def take(self, rows: Iterable[Row]) -> None:
        """The next of its entries, in the order of their numbers."""
        for entry, outcome in rows:
            self._take(entry, outcome)

    def is_not_there(self) -> None:
        """There is no such group."""
        self._found(0, "there is no such group")

    def unreadable(self, why: str) -> None:
        """What follows cannot be read."""
        self._found(self._seq + 1, f"cannot be read: {why}")

    def end(self, held: GroupState, epoch: int, strays: Iterable[tuple[str, int, str]]) -> None:
        """Hold what is said of the group against its log.

        `held` is what the projections say, `epoch` the store's, `strays` what stands beside the log and cannot: what it
        is, how many there are, and one of them.
        """
        head = held.head
        if head.epoch != epoch:
            self._found(head.seq, f"the head is of epoch {head.epoch}, the store of {epoch}")
        if self._epoch > head.epoch:
            self._found(self._seq, f"the entry is of epoch {self._epoch}, the head of {head.epoch}")
        if self._seq < head.seq:
            last = "" if head.seq == self._seq + 1 else f", nor any up to {head.seq}"
            self._found(self._seq + 1, f"there is no such entry{last}, and the head is past it")
        elif self._seq > head.seq:
            self._found(head.seq, f"the head is not the log's end, which is {self._seq}")
        elif self._hash not in (None, head.hash):
            self._found(head.seq, "the head is not the log's end: its hash is another")
        elif self._messages != head.messages:
            self._found(
                head.seq, f"the head is not the log's end: it counts {head.messages} messages, not {self._messages}"
            )
        if self._folds:
            for what in projection_damages(self._state, held):
                self._found(head.seq, what)
        for what, count, example in strays:
            self._found(head.seq, f"{count} {what}: {example}")

    def _take(self, entry: Entry, outcome: int | None) -> None:
        if entry.seq <= self._seq:
            self._found(entry.seq, "there are two entries of this number")
            return
        if entry.seq > self._seq + 1:
            last = "" if entry.seq == self._seq + 2 else f", nor any up to {entry.seq - 1}"
            self._found(self._seq + 1, f"there is no such entry{last}, and the head is past it")
            self._pass_gap(entry)
        if self._hash is None:
            if (
                entry.body is not None
                and entry.salt is not None
                and body_digest(entry.salt, entry.body) != entry.digest
            ):
                self._found(entry.seq, "the body is not the one that was sealed")
        elif not follows(self._hash, entry):
            self._found(entry.seq, "the hash does not chain on the entry before, or not on its own body")
        self._messages += entry.kind == MESSAGE
        if entry.messages != self._messages:
            self._found(entry.seq, f"counts {entry.messages} messages, there are {self._messages}")
            self._messages = entry.messages
        if entry.epoch < self._epoch:
            self._found(entry.seq, f"is of epoch {entry.epoch}, the one before it of {self._epoch}")
        if outcome != entry.seq:
            told = "is not there, or says refused" if outcome is None else f"names entry {outcome}"
            self._found(entry.seq, f"the outcome of its send is not this entry: it {told}")
        # An erased body can no longer say what its entry did to the group; of a message that is nothing.
        self._folds = self._folds and (entry.body is not None or entry.kind == MESSAGE)
        if self._folds:
            self._state = fold(self._state, entry)
        self._seq, self._hash, self._epoch = entry.seq, entry.hash, max(self._epoch, entry.epoch)

    def _pass_gap(self, entry: Entry) -> None:
        self._folds = False
        self._hash = None
        self._seq = entry.seq - 1
        self._messages = entry.messages - (entry.kind == MESSAGE)

    def _found(self, seq: int, what: str) -> None:
        if self.full:
            self.more += 1
        else:
            self.damages.append(Damage(self.group, seq, what))


def projection_damages(folded: GroupState, held: GroupState) -> Iterator[str]:
    """What `held` says of a group that the fold of its log does not, one line each."""
    for name in _PROJECTED:
        log, there = getattr(folded, name), getattr(held, name)
        if log != there:
            yield f"the group's {name} is not what its log says: {there!r} instead of {log!r}"
    for user in sorted(folded.memberships.keys() | held.memberships.keys()):
        log, there = folded.memberships.get(user, ()), held.memberships.get(user, ())
        if log != there:
            yield f"the memberships of {user} are not what the log says: {_stays(there)} instead of {_stays(log)}"


def _stays(memberships: Sequence[Membership]) -> str:
    return ", ".join(f"{m.role} {m.join} to {m.end or 'now'}" for m in memberships) or "none"
