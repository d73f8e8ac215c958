"""The verdict on a simulated run: every law of the promise, held against what clients saw and the store has. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from folkmoot.checker.stories import OF_THE_CLIENT, Stage, of_stories
from folkmoot.model.entry import CREATED, MESSAGE, Entry, first_break, genesis
from folkmoot.model.fold import fold
from folkmoot.model.group import empty_group
from folkmoot.model.position import position_at
from folkmoot.testing.happenings import Asked, Noted, Stored, Told
from folkmoot.testing.simulation import Run
from folkmoot.testing.world import GroupEnd

LAWS: Final[dict[str, str]] = {
    "missing": "an acknowledged entry is not in the log where it was said to be",
    "doubled": "an entry stands twice in the log, or a client applied one twice",
    "gap": "a client applied an entry without the one before it",
    "order": "the sends of one outbox stand in the log in another order than they were made",
    "altered": "an entry's body, sender or kind is not what was sent, or not what the log has",
    "invented": "an entry that nobody sent",
    "refused": "an entry of a send refused for good",
    "outside": "someone was given an entry from outside their memberships",
    "unread": "a count of unread messages is not the count from the log",
    "snapshot": "a snapshot is not what the log says at its seq",
    "position": "a client's position went back, or is not the log's, or skipped what it may not",
    "ended": "a client was told that a membership is over which is not",
    "reset": "a client's position was said not to be of this log, and it is",
    "epoch": "a number has two meanings in one epoch",
    "chain": "a log contradicts itself, or what is made of it",
    "durable": "something was answered or published before the store had it",
    "wire": "a connection was sent entries with a gap, twice, or from where it does not stand",
    "expired": "a connection was served on after its token's time",
    "stuck": "all faults were over, and not everybody got everything in time",
    "strange": "something happened that never should",
}
"""Every law, and what it is to break it."""


_Bodies: TypeAlias = dict[tuple[str, str], tuple[str, bytes]]
"""By group and send id: the kind and the body that a machine has asked for last."""


class Violation(msgspec.Struct, frozen=True):
    """One law broken, and how."""

    law: str
    what: str


def judge_run(run: Run) -> list[Violation]:
    """Everything that was wrong with the run; nothing, where the promise was kept."""
    stage = Stage(run)
    return [
        *_of_logs(run),
        *_of_answers(run, stage),
        *_of_sends(run),
        *_of_order(run, stage),
        *(Violation(law, what) for law, what in of_stories(stage)),
        *_of_given(run, stage),
        *_of_lists(run),
        *_of_unread(run),
        *_of_meanings(run, stage),
        *(Violation(law, what) for law, what in run.breaches),
        *(Violation("stuck", what) for what in run.behind),
        *(Violation("strange", what) for what in run.strange),
    ]


def _of_logs(run: Run) -> Iterator[Violation]:
    """Each log is one chain, counts right, and the store's state of the group is its fold."""
    for group, end in run.ends.items():
        broken = first_break(genesis(group), 0, end.entries)
        if broken is not None:
            yield Violation("chain", f"{group} {broken} does not follow the entry before")
            continue
        state = empty_group(group, 1, 1)
        epoch = messages = 0
        keys: dict[tuple[str, str], int] = {}
        for entry in end.entries:
            state = fold(state, entry)
            messages += entry.kind == MESSAGE
            if entry.epoch < epoch or entry.messages != messages:
                yield Violation("chain", f"{group} {entry.seq}: its epoch or its count of messages goes wrong")
            epoch = entry.epoch
            key = (entry.sender, entry.send_id)
            if key in keys:
                yield Violation("doubled", f"{group}: {key[0]}/{key[1]} stands at {keys[key]} and at {entry.seq}")
            keys[key] = entry.seq
        held = end.state
        for name in ("name", "history_all", "open", "memberships", "members_count", "owners_count"):
            if getattr(state, name) != getattr(held, name):
                yield Violation("chain", f"{group}: the store's {name} is not what the log says")
        if (state.head.seq, state.head.hash, state.head.messages) != (
            held.head.seq,
            held.head.hash,
            held.head.messages,
        ):
            yield Violation("chain", f"{group}: the head is not where the log ends")


def _of_sends(run: Run) -> Iterator[Violation]:
    """Every entry was asked for, by its sender, with that body."""
    asked: dict[tuple[str, str, str], list[tuple[str, bytes]]] = defaultdict(list)
    for happening in run.happenings:
        if isinstance(happening, Asked):
            asked[(happening.group, happening.user, happening.send_id)].append((happening.kind, happening.body))
    for group, end in run.ends.items():
        for entry in end.entries:
            wanted = asked.get((group, entry.sender, entry.send_id))
            name = f"{group} {entry.seq} ({entry.sender}/{entry.send_id})"
            if wanted is None:
                yield Violation("invented", name)
            elif (entry.kind, entry.body) not in wanted:
                yield Violation("altered", f"{name} is not what was asked for")


def _of_answers(run: Run, stage: Stage) -> Iterator[Violation]:
    """What a client was told of a send is what became of it, unless the store has been set back since."""
    outboxes: dict[str, _Bodies] = defaultdict(dict)
    copies: dict[tuple[str, str], _Bodies] = {}
    for at, happening in enumerate(run.happenings):
        if isinstance(happening, Asked):
            outboxes[happening.who][(happening.group, happening.send_id)] = (happening.kind, happening.body)
        elif isinstance(happening, Noted) and happening.what == "copied":
            copies[(happening.who, happening.detail)] = dict(outboxes[happening.who])
        elif isinstance(happening, Noted) and happening.what == "rolled back":
            # An outbox that is set back asks again for what an id meant then.
            outboxes[happening.who] = dict(copies[(happening.who, happening.detail)])
        if not isinstance(happening, Told) or at < stage.last_restore:
            continue
        told = happening
        entry = stage.by_key.get((told.group, told.user, told.send_id))
        name = f"{told.group} {told.user}/{told.send_id}"
        if told.seq is not None:
            if stage.is_of_the_life_before(told):
                continue
            if entry is None:
                yield Violation("missing", f"{told.who} was told that {name} is {told.seq}: it is not in the log")
            elif entry.seq != told.seq:
                yield Violation("missing", f"{told.who} was told that {name} is {told.seq}: it is {entry.seq}")
        elif told.definite and entry is not None and not _asked_anew(told, stage):
            asked = outboxes[told.who].get((told.group, told.send_id))
            if asked is None or asked == (entry.kind, entry.body):
                yield Violation("refused", f"{told.who} was told {told.code} of {name}: it is {entry.seq}")


def _asked_anew(told: Told, stage: Stage) -> bool:
    """Refused by the client alone, who had never transmitted it, or under a join that was over: neither is kept.

    Asked for again, by its client or under a later join, it is another matter.
    """
    again = stage.asked[(told.group, told.user, told.send_id)] > 1
    if told.code == "membership_over":
        return again
    return told.code in OF_THE_CLIENT and (again or told.who in stage.rolled_back)


def _of_order(run: Run, stage: Stage) -> Iterator[Violation]:
    """The sends of one outbox stand in the order in which they were made. An outbox set back is another one."""
    backs: dict[str, int] = defaultdict(int)
    last: dict[tuple[str, int, str], tuple[int, str]] = {}
    for at, happening in enumerate(run.happenings):
        if isinstance(happening, Noted) and happening.what == "rolled back":
            backs[happening.who] += 1
        if not isinstance(happening, Asked):
            continue
        asked = happening
        key = (asked.group, asked.user, asked.send_id)
        outbox = (asked.who, backs[asked.who], asked.group)
        if stage.asked[key] > 1:
            # An id that is said again, or elsewhere, stands where it stood first; what follows waits for it alone.
            last.pop(outbox, None)
            continue
        if key in stage.refused_by_client:
            continue  # It never left, but for an outbox that was set back: then it stands where that brought it.
        entry = stage.by_key.get(key)
        if entry is None or (entry.kind, entry.body) != (asked.kind, asked.body) or at < stage.last_restore:
            continue
        if asked.kind == CREATED:
            continue  # A group that is being made waits for no other.
        seq, name = last.get(outbox, (0, ""))
        if entry.seq < seq:
            yield Violation(
                "order", f"{asked.group}: {asked.who} made {name} before {asked.send_id}: {seq} and {entry.seq}"
            )
        last[outbox] = max((seq, name), (entry.seq, asked.send_id))


def _of_given(run: Run, stage: Stage) -> Iterator[Violation]:
    """Whatever was sent to someone, by whatever door, is of their memberships."""
    for (user, group), entries in run.given.items():
        end = run.ends.get(group)
        for seq, position in entries:
            entry = end.entries[seq - 1] if end is not None and 0 < seq <= len(end.entries) else None
            if entry is None or position != position_of(entry):
                if not run.restores:
                    yield Violation("altered", f"{user} was sent {group} {seq}, which the log does not have like that")
            elif end is not None and not stage.may_see(user, group, seq):
                yield Violation("outside", f"{user} was sent {group} {seq}")


def _of_lists(run: Run) -> Iterator[Violation]:
    """At the end every client is told of all groups that its user is in, and of no other."""
    users = {person.machine: person.user for person in run.plan.people}
    for machine, rows in run.rows.items():
        listed = {row.group for row in rows}
        there = {group for group, end in run.ends.items() if end.state.membership(users[machine]) is not None}
        for group in sorted(there ^ listed):
            lacks = "lacks" if group in there else "has"
            yield Violation("chain", f"{machine}: the list of its groups {lacks} {group}")


def _of_unread(run: Run) -> Iterator[Violation]:
    """At the end every client is told what the log counts."""
    users = {person.machine: person.user for person in run.plan.people}
    for machine, rows in run.rows.items():
        user = users[machine]
        for row in rows:
            end = run.ends[row.group]
            expected = unread_of(end, user, end.pointers.get(user, 0))
            if (row.seq, row.messages, row.unread) != (end.state.head.seq, end.state.head.messages, expected):
                yield Violation(
                    "unread", f"{machine}: {row.group} has {row.unread} unread of {row.messages}, it is {expected}"
                )
    for group, end in run.ends.items():
        own: dict[str, int] = {}
        for entry in end.entries:
            if entry.kind == MESSAGE:
                own[entry.sender] = entry.seq
        for user, seq in own.items():
            pointer = end.pointers.get(user, 0)
            if not run.restores and not seq <= pointer <= len(end.entries):
                yield Violation("unread", f"{user} said {group} {seq}, and has read up to {pointer}")


def unread_of(end: GroupEnd, user: str, read: int) -> int:
    """The messages in the log after what the user has read, and within the membership that lasts."""
    membership = end.state.membership(user)
    if membership is None:
        return 0
    return sum(entry.kind == MESSAGE and entry.seq > max(read, membership.join) for entry in end.entries)


def _of_meanings(run: Run, stage: Stage) -> Iterator[Violation]:
    """One epoch, one log. Who copies an old file back, and raises nothing, gets what cannot be told apart."""
    lives = [at for at, raised in run.restores if not raised]
    meanings: dict[tuple[int, str, int, int], bytes] = {}
    for at, happening in enumerate(run.happenings):
        if isinstance(happening, Stored):
            life = sum(at >= restored for restored in lives)
            key = (life, happening.group, happening.epoch, happening.seq)
            if meanings.setdefault(key, happening.hash) != happening.hash:
                yield Violation("epoch", f"{happening.group} {happening.seq} has two meanings in {happening.epoch}")


def position_of(entry: Entry) -> str:
    """The position of whoever has come as far as this entry."""
    return str(position_at(entry.epoch, entry.seq, entry.hash))
