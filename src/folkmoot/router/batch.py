"""A batch of sends to one group, decided one by one on the state that those before made: one conditional write."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

import msgspec

from folkmoot.model.entry import Entry
from folkmoot.model.fold import fold
from folkmoot.model.group import GroupState
from folkmoot.model.ids import UserId
from folkmoot.model.membership import Membership
from folkmoot.model.send import Appended, Outcome, Refused, Send, SendKey
from folkmoot.ports.store import Write
from folkmoot.ports.subjects import Answer
from folkmoot.router.decide import Already, Append, Circumstances, Leave, LoadNewer, Refuse, decide

SLOW_DOWN_MS = 10_000


class Ruling(msgspec.Struct, frozen=True):
    """What a send is answered. `written`: only once the batch's write is durable."""

    answer: Answer
    written: bool


class Batch(msgspec.Struct, frozen=True):
    """What was decided: rulings for the first sends in their order (the rest are for the next batch).

    `write` is None where nothing has to be stored. `load_newer`: a send needs a newer state, and nothing was decided.
    `refused` counts, by sender, the refusals that the write stores.
    """

    rulings: list[Ruling]
    write: Write | None
    load_newer: bool
    refused: dict[UserId, int]

    @property
    def only_appends(self) -> bool:
        """Whether the write stores an entry for each send that was ruled on, and nothing else."""
        return self.write is not None and not self.write.refusals and len(self.write.entries) == len(self.rulings)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the whole batch. `refusals_left` is how many more each sender may be stored now."""

    now_ms: int
    members_max: int
    full: bool
    refusals_left: Callable[[UserId], int]
    salt: Callable[[], bytes]
    last_try: bool = False


def keys_of(sends: Sequence[Send]) -> set[SendKey]:
    """The send keys whose outcomes have to be known to decide `sends`."""
    keys = set[SendKey]()
    for send in sends:
        keys.add((send.sender, send.send_id))
        if send.after is not None:
            keys.add((send.sender, send.after))
    return keys


def decide_batch(state: GroupState, sends: Sequence[Send], known: Mapping[SendKey, Outcome], rules: Rules) -> Batch:
    """Decide `sends` on `state`, which is not newer than the outcomes in `known`.

    `rules.last_try`: the state is as new as can be, so a join that it has not reached is nobody's.
    """
    draft = _Draft(state, dict(known), rules)
    for send in sends:
        if len(draft.entries) >= state.head.room:
            break
        if not draft.take(send):
            return Batch([], None, True, {})
    return Batch(draft.rulings, draft.write(), False, draft.refused)


class _Draft:
    def __init__(self, state: GroupState, known: dict[SendKey, Outcome], rules: Rules) -> None:
        self.before = state
        self.state = state
        self.known = known
        self.rules = rules
        self.rulings: list[Ruling] = []
        self.entries: list[Entry] = []
        self.refusals: dict[SendKey, str] = {}
        self.refused: dict[UserId, int] = {}
        self.memberships: dict[tuple[UserId, int], Membership] = {}
        # Settled by what this batch is going to write, or by what never changes.
        self.fresh: set[SendKey] = set()

    def take(self, send: Send) -> bool:
        """Decide one more; False if it needs a newer state."""
        key = (send.sender, send.send_id)
        after = None if send.after is None else (send.sender, send.after)
        given = Circumstances(
            outcome=self.known.get(key),
            after_settled=after is None or after in self.known,
            full=self.rules.full,
            now_ms=self.rules.now_ms,
            salt=self.rules.salt(),
            members_max=self.rules.members_max,
        )
        written = key in self.fresh
        match decide(self.state, send, given):
            case LoadNewer():
                if not self.rules.last_try:
                    return False
                self._answer(send, written=False, code="not_taken")
            case Already(seq=seq):
                self.rulings.append(Ruling(Answer(send.group, send.send_id, seq=seq), written))
            case Leave(code=code, detail=detail):
                self._answer(send, written=written, code=code, detail=detail)
            case Refuse(code=code, detail=detail, stored=False):
                # A membership that an entry before it ends is over once that entry is stored, and not before.
                unsettled = given.outcome is None and bool(self.entries)
                self._answer(send, written=written or unsettled, code=code, detail=detail, definite=True)
            case Refuse(code=code, detail=detail):
                self._refuse(send, key, code, detail)
            case Append(entry=entry, memberships=memberships):
                self._append(send, key, entry, memberships)
            case other:
                assert_never(other)
        return True

    def write(self) -> Write | None:
        if not self.entries and not self.refusals:
            return None
        return Write(
            group=self.before.group,
            expected=self.before.head,
            entries=self.entries,
            refusals=self.refusals,
            after=self.state,
            memberships=[(user, membership) for (user, _), membership in self.memberships.items()],
            reserve=self.rules.full,
        )

    def _append(self, send: Send, key: SendKey, entry: Entry, memberships: dict[UserId, Membership]) -> None:
        self.state = fold(self.state, entry)
        self.entries.append(entry)
        for user, membership in memberships.items():
            self.memberships[(user, membership.join)] = membership
        self.known[key] = Appended(entry.seq, entry.kind, entry.digest, entry.salt)
        self.fresh.add(key)
        self.rulings.append(Ruling(Answer(send.group, send.send_id, seq=entry.seq), written=True))

    def _refuse(self, send: Send, key: SendKey, code: str, detail: str) -> None:
        count = self.refused.get(send.sender, 0)
        if count >= self.rules.refusals_left(send.sender):
            self._answer(send, written=False, code="slow_down", detail=code, retry_after_ms=SLOW_DOWN_MS)
            return
        self.refused[send.sender] = count + 1
        self.refusals[key] = code
        self.known[key] = Refused(code)
        self.fresh.add(key)
        self._answer(send, written=True, code=code, detail=detail, definite=True)

    def _answer(
        self, send: Send, *, written: bool, code: str, detail: str = "", definite: bool = False, retry_after_ms: int = 0
    ) -> None:
        answer = Answer(
            send.group, send.send_id, code=code, definite=definite, detail=detail, retry_after_ms=retry_after_ms
        )
        self.rulings.append(Ruling(answer, written))
