"""Each client's story of a run, as its application saw it, held against the log and the user's memberships. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from folkmoot.model.entry import MESSAGE, Entry
from folkmoot.model.fold import FoldError, ends_for, fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.membership import Membership, span_of
from folkmoot.model.position import position_at
from folkmoot.testing.happenings import Asked, Heard, Noted, Stored, Told, Took
from folkmoot.testing.simulation import Run

ON_THE_WAY_MS_MAX = 20_000
"""How long an answer may be on its way: a gateway asks again for some seconds, a cut holds frames back."""

OF_THE_CLIENT: Final = frozenset({"no_such_group", "skipped"})
"""Codes with which a client refuses a send that it has never transmitted."""

Broken = tuple[str, str]
"""A law, and how it was broken."""


class Stage:
    """What a run is judged by: its logs, everyone's memberships in them, and when the store was set back last."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last_restore = max((at for at, _ in run.restores), default=-1)
        before = run.happenings[: max(0, self.last_restore)]
        self.restored_ms = before[-1].at_ms if before else 0
        self._stored_before = {(h.group, h.sender, h.send_id) for h in before if isinstance(h, Stored)}
        self.by_key: dict[tuple[str, str, str], Entry] = {
            (group, entry.sender, entry.send_id): entry for group, end in run.ends.items() for entry in end.entries
        }
        self.refused_by_client = {
            (h.group, h.user, h.send_id)
            for h in run.happenings
            if isinstance(h, Told) and h.definite and h.code in OF_THE_CLIENT
        }
        # How often a send was asked for, by whichever of its sender's devices.
        self.asked: dict[tuple[str, str, str], int] = defaultdict(int)
        self.rolled_back = {h.who for h in run.happenings if isinstance(h, Noted) and h.what == "rolled back"}
        for happening in run.happenings:
            if isinstance(happening, Asked):
                self.asked[(happening.group, happening.user, happening.send_id)] += 1

    def is_of_the_life_before(self, told: Told) -> bool:
        """Whether it was on its way when the store was set back: it had happened, and is undone."""
        if self.last_restore < 0 or told.at_ms > self.restored_ms + ON_THE_WAY_MS_MAX:
            return False
        return (told.group, told.user, told.send_id) in self._stored_before

    def entry(self, group: str, seq: int) -> Entry | None:
        end = self.run.ends.get(group)
        return end.entries[seq - 1] if end is not None and 0 < seq <= len(end.entries) else None

    def may_see(self, user: str, group: str, seq: int) -> bool:
        end = self.run.ends.get(group)
        stays = () if end is None else end.state.memberships.get(user, ())
        return any(seq in span_of(stay, history_all=end is not None and end.state.history_all) for stay in stays)

    def state_at(self, group: str, seq: int) -> GroupState | None:
        """The group after its entry `seq`; None where the log is broken before it, which is said elsewhere."""
        try:
            return fold_all(empty_group(group, 1, 1), self.run.ends[group].entries[:seq])
        except FoldError:
            return None


def of_stories(stage: Stage) -> Iterator[Broken]:
    """What is wrong with what any client's application saw."""
    for machine, told in _stories(stage.run).items():
        by_group: dict[str, list[tuple[int, Took | Heard]]] = defaultdict(list)
        for at, item in told:
            by_group[item.group].append((at, item))
        for group, items in by_group.items():
            yield from _Reading(stage, machine, group).of(items)


def _stories(run: Run) -> dict[str, list[tuple[int, Took | Heard]]]:
    """By machine, what its application has applied; what a machine that was set back lost is not in it."""
    stories: dict[str, list[tuple[int, Took | Heard]]] = defaultdict(list)
    copies: dict[tuple[str, str], list[tuple[int, Took | Heard]]] = {}
    for at, happening in enumerate(run.happenings):
        if isinstance(happening, Took | Heard):
            stories[happening.who].append((at, happening))
        elif isinstance(happening, Noted) and happening.what == "rolled back":
            stories[happening.who] = list(copies[(happening.who, happening.detail)])
        elif isinstance(happening, Noted) and happening.what == "copied":
            copies[(happening.who, happening.detail)] = list(stories[happening.who])
    return stories


class _Reading:
    """One client in one group, from the first thing it heard to the last."""

    def __init__(self, stage: Stage, machine: str, group: str) -> None:
        self._stage = stage
        self._machine = machine
        self._group = group
        self._place: int | None = None
        self._had = 0

    def of(self, items: list[tuple[int, Took | Heard]]) -> Iterator[Broken]:
        ends = ("reset", "ended") if self._stage.run.restores else ("reset",)
        last_reset = max((at for at, item in items if isinstance(item, Heard) and item.event in ends), default=-1)
        for at, item in items:
            # What the store has forgotten since, and the client has been told to forget, is not held against it; nor
            # what it had before the store was set back, where it had left before.
            void = at < max(last_reset, self._stage.last_restore)
            if isinstance(item, Took):
                yield from self._took(item, void=void)
            else:
                yield from self._heard(at, item, void=void)
        yield from self._standing_at_the_end(items)

    def _took(self, item: Took, *, void: bool) -> Iterator[Broken]:
        name = f"{self._machine} {self._group} {item.seq}"
        if self._place is None:
            yield "position", f"{name} applied where the client stands nowhere"
        elif item.seq <= self._place:
            yield "doubled", f"{name} applied at {self._place}"
        elif item.seq != self._place + 1:
            yield "gap", f"{name} applied at {self._place}"
        self._place = item.seq
        self._had = max(self._had, item.seq)
        if void:
            return
        entry = self._stage.entry(self._group, item.seq)
        if entry is None:
            yield "altered", f"{name} is not in the log"
            return
        there = (entry.kind, entry.sender, entry.send_id, entry.messages, entry.body)
        if there != (item.kind, item.sender, item.send_id, item.messages, item.body):
            yield "altered", f"{name} is {entry.sender}/{entry.send_id} in the log, {item.send_id} at the client"
        elif item.position != str(position_at(entry.epoch, entry.seq, entry.hash)):
            yield "position", f"{name} has a position that is not the log's"
        if not self._stage.may_see(item.user, self._group, item.seq):
            yield "outside", f"{name} applied"

    def _heard(self, at: int, item: Heard, *, void: bool) -> Iterator[Broken]:
        name = f"{self._machine} {self._group}"
        match item.event:
            case "joined":
                yield from self._joined(item, void=void)
            case "snapshot":
                if self._place is None:
                    self._place = item.seq
                if not void:
                    yield from self._snapshot(item)
            case "recovered":
                if item.seq != self._place:
                    yield "position", f"{name}: recovered at {item.seq}, being at {self._place}"
            case "ended":
                entry = self._stage.entry(self._group, item.seq)
                # A store that was set back to before a membership knows of none that could have ended.
                undone = bool(self._stage.run.restores) and not self._sees(item, item.seq)
                if not void and not undone and (entry is None or not ends_for(entry, item.user)):
                    yield "ended", f"{name} was told that it ended with {item.seq}"
                if self._stage.run.restores:
                    self._had = 0  # Its numbers may be given anew.
                self._place = None
            case "reset":
                if at < min((restored for restored, _ in self._stage.run.restores), default=at + 1):
                    yield "reset", f"{name} was reset, and no store was ever set back"
                self._place, self._had = None, 0

    def _joined(self, item: Heard, *, void: bool) -> Iterator[Broken]:
        name = f"{self._machine} {self._group}"
        before = self._had if self._place is None else self._place
        if item.seq < before:
            yield "position", f"{name}: a membership starts after {item.seq}, and it had {before}"
        if self._place is not None and not void:
            lost = [seq for seq in range(self._place + 1, item.seq + 1) if self._sees(item, seq)]
            if lost:
                yield "position", f"{name} skips {lost[0]} to {lost[-1]}, which it may see"
        self._place = item.seq

    def _sees(self, item: Heard, seq: int) -> bool:
        return self._stage.may_see(item.user, self._group, seq)

    def _snapshot(self, item: Heard) -> Iterator[Broken]:
        name = f"{self._machine} {self._group}: a snapshot at {item.seq}"
        if item.seq > len(self._stage.run.ends[self._group].entries):
            yield "snapshot", f"{name} is past the log"
            return
        state = self._stage.state_at(self._group, item.seq)
        if state is None:
            return
        membership = state.membership(item.user)
        stay = membership or Membership(0, None, "")
        said = (item.name, item.join, item.role, item.members, item.messages)
        true = (state.name, stay.join, stay.role, state.members_count, state.head.messages)
        if said != true:
            yield "snapshot", f"{name} says {said}, the log {true}"
        entries = self._stage.run.ends[self._group].entries[: item.seq]
        unread = sum(e.kind == MESSAGE and e.seq > max(item.read, stay.join) for e in entries)
        if item.unread != unread:
            yield "unread", f"{name} counts {item.unread} unread after {item.read}, there are {unread}"

    def _standing_at_the_end(self, items: list[tuple[int, Took | Heard]]) -> Iterator[Broken]:
        """A client whose membership is over has all of it; `behind` has looked at those whose membership lasts."""
        if self._place is None or self._stage.run.behind:
            return
        user = items[-1][1].user
        end = self._stage.run.ends.get(self._group)
        if end is None or end.state.membership(user) is None:
            yield "ended", f"{self._machine} {self._group}: its membership is over, and it was not told"
        elif self._place != end.state.head.seq:
            yield "gap", f"{self._machine} {self._group} is at {self._place}, the head at {end.state.head.seq}"
