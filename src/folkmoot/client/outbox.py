"""The outbox: every send until it is answered, in order, and the rules of when one is sent again."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

import msgspec

from folkmoot.client.errors import OutboxFull, SendRefused
from folkmoot.client.kept import KeptSend
from folkmoot.model import entry as kinds
from folkmoot.model.ids import GroupId, SendId, UserId, group_id
from folkmoot.model.send import SKIP
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import SENDS_UNANSWERED_MAX

ANSWER_S_MAX: Final = 20.0
"""A gateway answers sooner, if only `no_answer`: after this long the answer is lost, and the send repeated."""

RETRY_S_FIRST: Final = 0.05
RETRY_S_MAX: Final = 1.0
"""Beyond what the server asked to wait, however often a send was tried. A gateway that hears nobody keeps a send for
seconds itself, and knows at once when there is somebody again: more here would only make everyone later then."""

HOLD_S_MAX: Final = 30.0
"""Where the connection itself was asked to send less, and it still is too much."""

NOT_TAKEN_TRIES_MAX: Final = 3
SENDS_MAX_DEFAULT: Final = 10_000

_MAKING: Final = "\0"

_OF_THE_CONNECTION: Final = frozenset({"rate_limited", "window_full", "draining"})
"""Codes that say something of all sends of this connection, not of the one that got it."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a send: its `seq`, or a `code`. `settled`: it has left the outbox."""

    send_id: SendId
    group: GroupId
    kind: str
    seq: int | None = None
    code: str = ""
    detail: str = ""
    definite: bool = False
    settled: bool = True


class _Item:
    __slots__ = ("lane", "not_taken", "number", "parked", "retry_at", "send", "sent_at", "tries")

    def __init__(self, send: KeptSend) -> None:
        self.send = send
        # A group that is being made waits for no other: its lane is its own.
        self.lane = send.group or _MAKING + send.send_id
        self.tries = 0
        self.not_taken = 0
        self.retry_at = 0.0
        self.sent_at = 0.0
        # Of its last transmission on this connection, counted over all sends; 0: none.
        self.number = 0
        # Turned away so often that the application has to decide.
        self.parked = False


class Outbox:
    """Sends by group, each group a lane in which a send goes out only after the one before it."""

    def __init__(self, kept: list[KeptSend], *, sends_max: int, draw: Callable[[], float]) -> None:
        # What the store is to be told, by id: an id may be settled and made anew before the store hears of either.
        self.made: dict[SendId, KeptSend] = {}
        self.changed: dict[SendId, KeptSend] = {}
        self.settled: dict[SendId, None] = {}
        self.answered: list[Answered] = []
        self.next_at: float | None = None
        self.resent = 0
        self._sends_max = sends_max
        self._draw = draw
        self._items: dict[SendId, _Item] = {}
        self._lanes: OrderedDict[str, OrderedDict[SendId, _Item]] = OrderedDict()
        self._flying: OrderedDict[SendId, _Item] = OrderedDict()
        self._flying_max = SENDS_UNANSWERED_MAX
        self._number = 0
        self._hold_until = 0.0
        self._holds = 0
        self._held_number = 0
        self._joinless: dict[GroupId, int] = {}
        for send in kept:
            self._put(send)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, send_id: object) -> bool:
        return send_id in self._items

    def pending(self) -> list[KeptSend]:
        """All sends without an answer, in the order in which they were made."""
        return [item.send for item in self._items.values()]

    # The application's side.

    def add(self, send: KeptSend) -> None:
        """Take a send in. The same one again changes nothing.

        Raises OutboxFull, and SendRefused (`send_id_conflict`) where its id is that of another send in here.
        """
        known = self._items.get(send.send_id)
        if known is not None:
            there = known.send
            if (there.group, there.kind, there.body) != (send.group, send.kind, send.body):
                raise SendRefused("send_id_conflict", "another send of this id waits", send_id=send.send_id)
            return
        if len(self._items) >= self._sends_max:
            raise OutboxFull(f"{self._sends_max} sends wait for an answer")
        self._put(send)
        # Of one that was made and settled already the place is an earlier one: this is the last.
        self.made.pop(send.send_id, None)
        self.made[send.send_id] = send
        self.settled.pop(send.send_id, None)

    def skip(self, group: GroupId, send_id: SendId, join: int | None) -> None:
        """Give a send up: from now on its id asks for nothing but to be refused, unless it is in the log."""
        item = self._items.get(send_id)
        if item is None:
            self.add(KeptSend(send_id=send_id, group=group, kind=SKIP, join=join, body=b"{}"))
            return
        if item.send.join is None and item.send.kind not in (kinds.CREATED, kinds.JOINED):
            # It has never left this client, in any of its lives.
            self._settle(item, code="skipped", definite=True)
            return
        self._change(item, msgspec.structs.replace(item.send, kind=SKIP, group=group, body=b"{}"))
        item.parked, item.not_taken, item.tries, item.retry_at = False, 0, 0, 0.0
        self._land(item)

    # The connection's side.

    def connected(self) -> None:
        """A new connection: everything is sent again, in order."""
        self._flying.clear()
        self._flying_max = SENDS_UNANSWERED_MAX
        self._hold_until, self._holds, self._held_number, self._number = 0.0, 0, 0, 0
        for item in self._items.values():
            item.number, item.retry_at, item.parked = 0, 0.0, False

    def learn_joins(self, user: UserId, join_of: Callable[[GroupId], int | None]) -> list[GroupId]:
        """Give the joins that are known by now to the sends that lack them; the groups to be asked about for the rest.

        Not asked about is a group that the user is only making or joining, by a send before them.
        """
        if not self._joinless:
            return []
        made = {group_id(user, name[1:]) for name in self._lanes if name.startswith(_MAKING)}
        lacking = []
        for group in list(self._joinless):
            lane = self._lanes[group]
            join = join_of(group)
            if join is not None:
                for item in lane.values():
                    if item.send.join is None:
                        self._change(item, msgspec.structs.replace(item.send, join=join))
            elif group not in made and next(iter(lane.values())).send.kind != kinds.JOINED:
                lacking.append(group)
        return lacking

    def no_such_group(self, group: GroupId) -> None:
        """Refuse the sends to a group in which the user has no membership, and which so were never transmitted."""
        for item in list(self._lanes.get(group, {}).values()):
            if item.send.join is None:
                self._settle(item, code="no_such_group", definite=True)

    def due(self, now_s: float) -> list[ev.Send]:
        """What is to be transmitted now, in order; `next_at` is when to look again without an event before."""
        self._expire(now_s)
        sends: list[ev.Send] = []
        self.next_at = None
        if now_s < self._hold_until:
            self._look_again(self._hold_until)
        elif self._items and len(self._flying) < self._flying_max:
            # Each lane its share, so that a long one does not keep the others waiting.
            share = max(1, self._flying_max // len(self._lanes))
            served = []
            for name, lane in self._lanes.items():
                if len(self._flying) >= self._flying_max:
                    break
                if self._serve(lane, share, now_s, sends):
                    served.append(name)
            for name in served:
                self._lanes.move_to_end(name)
        if self._flying:
            self._look_again(next(iter(self._flying.values())).sent_at + ANSWER_S_MAX)
        return sends

    def accepted(self, event: ev.Accepted) -> Answered | None:
        """The send is in the log. None where that was known already."""
        item = self._items.get(event.id)
        if item is None:
            return None
        self._holds = 0
        self._flying_max = min(SENDS_UNANSWERED_MAX, self._flying_max + 1)
        return self._settle(item, seq=event.seq, group=event.group)

    def refused(self, event: ev.RefusedEvent) -> Answered | None:
        """The send never will be in the log. None where that was known already."""
        item = self._items.get(event.id)
        if item is None:
            return None
        return self._settle(item, code=event.code, detail=event.detail, definite=True)

    def malformed(self, send_id: SendId, code: str, detail: str) -> None:
        """The gateway found an id, a group or a number in it that is none: no router ever sees it."""
        item = self._items.get(send_id)
        if item is not None:
            self._settle(item, code=code, detail=detail, definite=True)

    def undecided(self, event: ev.Undecided, now_s: float) -> None:
        """Nothing is known of the send: it is sent again, at once, later, or when the application has decided."""
        item = self._items.get(event.id)
        if item is None or event.id not in self._flying:
            return
        self._land(item)
        self.resent += 1
        wait_s = event.retry_after_ms / 1_000
        if event.code == "out_of_turn":
            return  # Once the one before it is answered, or was sent again.
        if event.code in _OF_THE_CONNECTION:
            self._hold(item.number, now_s, wait_s)
            return
        if event.code == "not_taken":
            item.not_taken += 1
            if item.not_taken >= NOT_TAKEN_TRIES_MAX:
                self._turned_away(item, event)
                return
        item.tries += 1
        item.retry_at = now_s + wait_s + self._jitter_s(item.tries, RETRY_S_MAX)

    # Inside.

    def _put(self, send: KeptSend) -> None:
        item = _Item(send)
        self._items[send.send_id] = item
        self._lanes.setdefault(item.lane, OrderedDict())[send.send_id] = item
        if send.join is None:
            self._joinless[send.group] = self._joinless.get(send.group, 0) + 1

    def _serve(self, lane: OrderedDict[SendId, _Item], share: int, now_s: float, sends: list[ev.Send]) -> bool:
        """Transmit what may go of one lane; whether anything did."""
        before: _Item | None = None
        served = False
        for send_id, item in islice(lane.items(), share):
            if send_id not in self._flying:
                if len(self._flying) >= self._flying_max or not self._may_go(item, before, now_s):
                    break
                self._number += 1
                item.number, item.sent_at = self._number, now_s
                self._flying[send_id] = item
                sends.append(_event_of(item.send, before))
                served = True
            before = item
        return served

    def _may_go(self, item: _Item, before: _Item | None, now_s: float) -> bool:
        if item.parked or item.send.join is None:
            return False
        if now_s < item.retry_at:
            self._look_again(item.retry_at)
            return False
        # `after` is decided on an outcome: the one before has to be on its way, and since this one's last try.
        return before is None or (before.send.send_id in self._flying and before.number > item.number)

    def _expire(self, now_s: float) -> None:
        while self._flying:
            item = next(iter(self._flying.values()))
            if now_s < item.sent_at + ANSWER_S_MAX:
                return
            self.resent += 1
            self._land(item)

    def _hold(self, number: int, now_s: float, wait_s: float) -> None:
        """Send nothing for a while, then fewer at once. What was sent before the hold began says nothing new."""
        if number > self._held_number:
            self._held_number = self._number
            self._flying_max = max(1, self._flying_max // 2)
            self._holds += 1
            # The first hold is as long as it was told; those with no send accepted in between grow.
            wait_s += self._jitter_s(self._holds, HOLD_S_MAX) if self._holds > 1 else 0.0
        self._hold_until = max(self._hold_until, now_s + wait_s)

    def _land(self, item: _Item) -> None:
        self._flying.pop(item.send.send_id, None)

    def _turned_away(self, item: _Item, event: ev.Undecided) -> None:
        if item.send.kind in (SKIP, kinds.JOINED):
            # Nobody's send: a stranger cannot settle it, and nothing waits behind it.
            self._settle(item, code=event.code, detail=event.detail)
            return
        item.parked = True
        self.answered.append(_answer_of(item.send, code=event.code, detail=event.detail, settled=False))

    def _settle(
        self,
        item: _Item,
        *,
        seq: int | None = None,
        group: GroupId = "",
        code: str = "",
        detail: str = "",
        definite: bool = False,
    ) -> Answered:
        send = item.send
        self._land(item)
        del self._items[send.send_id]
        lane = self._lanes[item.lane]
        del lane[send.send_id]
        if not lane:
            del self._lanes[item.lane]
        if send.join is None:
            self._has_join(send.group)
        # No change of it is left to be told: it would be taken for one of the next send of this id.
        self.changed.pop(send.send_id, None)
        self.settled[send.send_id] = None
        answer = _answer_of(send, seq=seq, code=code, detail=detail, definite=definite, group=group)
        self.answered.append(answer)
        return answer

    def _change(self, item: _Item, send: KeptSend) -> None:
        if item.send.join is None and send.join is not None:
            self._has_join(send.group)
        item.send = send
        self.changed[send.send_id] = send

    def _has_join(self, group: GroupId) -> None:
        left = self._joinless[group] - 1
        if left:
            self._joinless[group] = left
        else:
            del self._joinless[group]

    def _jitter_s(self, tries: int, seconds_max: float) -> float:
        return self._draw() * min(seconds_max, RETRY_S_FIRST * 2.0 ** min(tries, 20))

    def _look_again(self, at_s: float) -> None:
        if self.next_at is None or at_s < self.next_at:
            self.next_at = at_s


def _event_of(send: KeptSend, before: _Item | None) -> ev.Send:
    return ev.Send(
        id=send.send_id,
        kind=send.kind,
        group=send.group,
        join=send.join or 0,
        after=None if before is None else before.send.send_id,
        body=msgspec.Raw(send.body),
    )


def _answer_of(
    send: KeptSend,
    *,
    seq: int | None = None,
    code: str = "",
    detail: str = "",
    definite: bool = False,
    settled: bool = True,
    group: GroupId = "",
) -> Answered:
    return Answered(
        send_id=send.send_id,
        group=group or send.group,
        kind=send.kind,
        seq=seq,
        code=code,
        detail=detail,
        definite=definite,
        settled=settled,
    )
