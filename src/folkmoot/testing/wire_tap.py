"""What passes over one connection, held against what a gateway owes it: clients mend much that should not happen."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from folkmoot.model.ids import GroupId, SendId, UserId
from folkmoot.model.position import PositionInvalid, parse_position
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON

_ENTRY: Final = b'{"t":"entry"'
LATE_MS_MAX: Final = 2_500
"""An expired token ends its connection at the next tick but one."""


class Watch(Protocol):
    """What a tap asks of the world, and tells it."""

    def breach(self, law: str, what: str) -> None: ...

    def given(self, user: UserId, group: GroupId, seq: int, position: str) -> None:
        """The user was sent this entry."""

    def is_stored(self, group: GroupId, seq: int, send_id: SendId) -> bool:
        """Whether the store has, now, the entry that the send was acknowledged as."""

    def expires_ms(self, token: str) -> int: ...


class _Entry(msgspec.Struct, frozen=True):
    group: str
    seq: int
    position: str


_DECODE_ENTRY: Final = msgspec.json.Decoder(_Entry)


class _Stand:
    """Where a connection stands in one group; `options`: where the client has asked to go on from since."""

    __slots__ = ("last", "options")

    def __init__(self) -> None:
        self.last: int | None = None
        self.options: list[int] = []

    def takes(self, seq: int) -> bool:
        if self.last is not None and seq == self.last + 1:
            self.last = seq
            return True
        if seq - 1 in self.options:
            self.options.remove(seq - 1)
            self.last = seq
            return True
        return False

    def is_at(self, seq: int) -> bool:
        return self.last == seq or seq in self.options


class WireTap:
    """One connection's two directions, each frame as the gateway takes or gives it."""

    def __init__(self, watch: Watch, name: str, wall_ms: Callable[[], int]) -> None:
        self._watch = watch
        self._name = name
        self._wall_ms = wall_ms
        self._user = ""
        self._stands: dict[GroupId, _Stand] = {}
        self._token_ms: int | None = None
        self._next_token_ms: int | None = None

    def came(self, frame: bytes) -> None:
        """The gateway takes a frame from the client."""
        event = JSON.decode_client(frame)
        if isinstance(event, ev.Hello):
            self._token_ms = self._watch.expires_ms(event.token)
        elif isinstance(event, ev.Refresh):
            self._next_token_ms = self._watch.expires_ms(event.token)
        elif isinstance(event, ev.Resume):
            for group, text in event.groups.items():
                stand = self._stands.setdefault(group, _Stand())
                try:
                    stand.options.append(parse_position(text).seq)
                except PositionInvalid:
                    continue

    def went(self, frames: bytes) -> None:
        """The gateway gives frames to the client."""
        for frame in frames.splitlines():
            if frame.startswith(_ENTRY):
                entry = _DECODE_ENTRY.decode(frame)
                self._entry(entry.group, entry.seq, entry.position)
            elif frame:
                self._event(JSON.decode_server(frame))

    def _entry(self, group: GroupId, seq: int, position: str) -> None:
        self._watch.given(self._user, group, seq, position)
        if self._token_ms is not None and self._wall_ms() > self._token_ms + LATE_MS_MAX:
            self._watch.breach("expired", f"{self._name} is sent {group} {seq} though its token is over")
        stand = self._stands.get(group)
        if stand is None or not stand.takes(seq):
            at = "nowhere" if stand is None or stand.last is None else f"at {stand.last}"
            self._watch.breach("wire", f"{self._name} stands {at} in {group} and is sent {seq}")
            stand = self._stands.setdefault(group, _Stand())
            stand.last = seq

    def _event(self, event: ev.Event) -> None:
        match event:
            case ev.Welcome(user=user):
                self._user = user
            case ev.Refreshed():
                self._token_ms = self._next_token_ms
            case ev.Snapshot(group=group, seq=seq) | ev.JoinedEvent(group=group, seq=seq):
                stand = self._stands.setdefault(group, _Stand())
                stand.last = seq
            case ev.Recovered(group=group, seq=seq):
                stand = self._stands.setdefault(group, _Stand())
                if not stand.is_at(seq):
                    self._watch.breach("wire", f"{self._name} stands at {stand.last} in {group}, told to be at {seq}")
                if stand.last != seq and seq in stand.options:
                    stand.options.remove(seq)
                # What the client has asked for since is still to come.
                stand.last = seq
            case ev.Ended(group=group, seq=seq):
                before = self._stands.pop(group, None)
                if before is None or not before.is_at(seq):
                    at = None if before is None else before.last
                    self._watch.breach("wire", f"{self._name} stands at {at} in {group}, told that it ended with {seq}")
            case ev.Reset(group=group):
                self._stands.pop(group, None)
            case ev.Accepted(id=send_id, group=group, seq=seq):
                if not self._watch.is_stored(group, seq, send_id):
                    self._watch.breach("durable", f"{self._name} is told that {send_id} is {group} {seq}: it is not")
            case ev.Page(group=group, entries=entries):
                for entry in entries:
                    self._watch.given(self._user, group, entry.seq, entry.position)
            case _:
                pass
