"""The client without a socket, a clock or a file: frames and wishes in; frames, items and changes to keep out."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from folkmoot.client.acks import Acks, Marks
from folkmoot.client.errors import ClientError, ConnectionEnded, StoreOfAnother
from folkmoot.client.heartbeat import Beat, Heartbeat
from folkmoot.client.kept import Changes, Kept, KeptSend
from folkmoot.client.outbox import SENDS_MAX_DEFAULT, Answered, Outbox
from folkmoot.client.places import Places
from folkmoot.client.received import Item, last_of_each_group
from folkmoot.client.reconnect import DELAY_S_MAX, reconnect_delay_s
from folkmoot.client.requests import Replied, Request, Requests
from folkmoot.model import entry as kinds
from folkmoot.model.ids import DeviceId, GroupId, SendId, UserId
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.protocol.errors import CODES
from folkmoot.protocol.limits import POSITIONS_PER_RESUME_MAX, WINDOW_ENTRIES_DEFAULT
from folkmoot.protocol.session import ClientSession

INBOX_WINDOWS: Final = 4
"""How many windows of entries may wait for the application before more are dropped, to be asked for again."""

REFRESH_AT: Final = 0.8
"""The part of a token's life after which a new one is asked for."""


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`fresh`: where a group without a place starts, at its "head" or at the user's "join"."""

    device: DeviceId = ""
    fresh: str = "head"
    window: int = WINDOW_ENTRIES_DEFAULT
    outbox_sends_max: int = SENDS_MAX_DEFAULT
    reconnect_s_max: float = DELAY_S_MAX
    client: str = ""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What operators ask about. Counts since the client was made, but for the last three, which are of now."""

    received: int
    duplicates: int
    gaps: int
    overflowed: int
    resent: int
    connections: int
    reconnects: int
    invalid_frames: int
    outbox: int
    waiting: int
    groups: int


class Core:
    """One client. Calls are plain; nothing waits. Whoever drives it keeps `take_changes` before `take_frames`."""

    def __init__(self, kept: Kept, settings: CoreSettings, *, draw: Callable[[], float]) -> None:
        self.settings = settings
        self.user: UserId = kept.user
        self.device = settings.device
        self.places = Places(kept.places, entries_max=INBOX_WINDOWS * settings.window)
        self.outbox = Outbox(kept.outbox, sends_max=settings.outbox_sends_max, draw=draw)
        self.requests = Requests()
        self.resumed = False
        self.failure: ClientError | None = None
        # The code with which the server turned the last token away; "" for none.
        self.token_refused = ""
        # Set while the connection has to be dropped: why.
        self.drop = ""
        self.refresh_at: float | None = None
        # Whether anything but entries has happened since frames were taken: if not, there is nothing to look for.
        self.is_stirred = True
        self._draw = draw
        self._acks = Acks(settings.window)
        self._marks = Marks()
        self._live: set[GroupId] = set()
        self._session: ClientSession | None = None
        self._heartbeat: Heartbeat | None = None
        self._goodbye: ev.Goodbye | None = None
        self._frames: list[bytes] = []
        self._user_changed = False
        self._now_s = 0.0
        self._attempt = 0
        self._connections = 0
        self._reconnects = 0
        self._invalid_frames = 0

    # The link's side.

    def opened(self, token: str, now_s: float) -> None:
        """The link is up: say hello."""
        self._now_s = now_s
        self.is_stirred = True
        self._session = ClientSession(JSON)
        self._heartbeat = Heartbeat(now_s)
        self._goodbye = None
        self.drop = self.token_refused = ""
        self.refresh_at = None
        self._frames.clear()
        self._write(
            ev.Hello(
                token=token,
                versions=[ev.VERSION],
                device=self.settings.device,
                client=self.settings.client,
                window=self.settings.window,
            )
        )

    def heard(self, now_s: float) -> None:
        """Something came, be it a ping. To be called once a read, before `receive`."""
        self._now_s = now_s
        if self._heartbeat is not None:
            self._heartbeat.heard(now_s)

    def receive(self, frame: bytes) -> None:
        """One whole frame. Raises FrameInvalid: the link is to be dropped."""
        if self._session is None or self.failure is not None:
            # What another user is told would move this one's places and settle this one's sends.
            return
        event, waited = self._session.receive(frame)
        if type(event) is ev.EntryEvent:
            if self.places.entry(event, len(frame), self._now_s):
                self._acks.repeat(event.group, self._now_s)
            if event.kind != kinds.MESSAGE:
                self.is_stirred = True  # It may be the user's own join, for which sends wait.
            return
        self.is_stirred = True
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        self._frames.extend(waited)

    def invalid(self) -> None:
        """A frame was none: the connection is dropped and made anew."""
        self._invalid_frames += 1
        self.is_stirred = True
        self.drop = "invalid frame"

    def lost(self, close_code: int, now_s: float) -> float:
        """The link is gone, or could not be had: seconds to wait before the next, unless there is a `failure`."""
        self._now_s = now_s
        self._session = self._heartbeat = self.refresh_at = None
        self._frames.clear()
        self.resumed = False
        goodbye, self._goodbye = self._goodbye, None
        self._judge_end(goodbye, close_code)
        delay_s = reconnect_delay_s(self._attempt, self._draw(), self.settings.reconnect_s_max)
        self._attempt += 1
        if goodbye is not None and goodbye.reconnect_after_ms is not None:
            delay_s = max(delay_s, goodbye.reconnect_after_ms / 1_000)
        return delay_s

    def refresh(self, token: str) -> None:
        """A new token for the connection as it is."""
        if self._session is not None:
            self._write(ev.Refresh(token=token))

    # The application's side.

    def send(self, send: KeptSend) -> None:
        """Put a send into the outbox. Raises OutboxFull, SendRefused (`send_id_conflict`)."""
        self.outbox.add(send)
        self.is_stirred = True

    def skip(self, group: GroupId, send_id: SendId) -> None:
        """Give a send up. Raises OutboxFull."""
        self.outbox.skip(group, send_id, self.places.join_of(group))
        self.is_stirred = True

    def ask(self, request: Request) -> None:
        """Put a request. Raises RequestFailed."""
        self.requests.add(request)
        self.is_stirred = True

    def mark_read(self, group: GroupId, seq: int, now_s: float) -> None:
        self._marks.move(group, seq, now_s)
        self.is_stirred = True

    def committed(self, items: list[Item], now_s: float) -> None:
        """The application has these items, and the places after them are kept."""
        for group, item in last_of_each_group(items).items():
            if isinstance(item, ev.Ended | ev.Reset):
                self._acks.forget(group)
            else:
                self._acks.committed(group, item.seq, now_s)

    # What comes out.

    def take_items(self, now_s: float) -> list[Item]:
        """What the application is to get. Once it has it, keep `places.kept_after` it and say `committed`."""
        items = self.places.take(now_s)
        if self.places.needs_new_link and self._is_ready:
            # Before the welcome this is of the link before, and the new one is what was needed.
            self.drop = "a catch-up had no room"
            self.is_stirred = True
        return items

    def take_changes(self) -> Changes:
        """What is to be kept before the next frames are written, beside the places."""
        outbox = self.outbox
        if self._session is not None and self.resumed:
            for group in outbox.learn_joins(self.user, self.places.join_of):
                self.places.look_for(group, self._now_s)
        changes = Changes(
            made=list(outbox.made.values()), changed=list(outbox.changed.values()), settled=list(outbox.settled)
        )
        outbox.made, outbox.changed, outbox.settled = {}, {}, {}
        if self._user_changed:
            self._user_changed = False
            changes.user = self.user
        return changes

    def take_answers(self) -> tuple[list[Answered], list[Replied]]:
        """What has become known of sends and requests; of sends, to be told once the changes are kept."""
        answers, self.outbox.answered = self.outbox.answered, []
        replies, self.requests.replies = self.requests.replies, []
        return answers, replies

    def take_frames(self, now_s: float) -> list[bytes]:
        """What is to be written to the link now: nothing more once it is to be dropped."""
        self._now_s = now_s
        self.is_stirred = False
        if self._session is None:
            return []
        if self._is_given_up:
            # It may be another user's, who would be taken for the sender of all that is in the outbox.
            self._frames.clear()
            return []
        if self._is_ready:
            self._write_due(now_s)
        frames, self._frames = self._frames, []
        return frames

    def next_at(self) -> float | None:
        """When `tick` is to be called, if nothing happens before; None while there is no link."""
        if self._session is None or self._heartbeat is None:
            return None
        if not self._is_ready:
            # Before the welcome nothing but the hello may be written: what is due already would be looked at for ever.
            return self._heartbeat.next_at
        times = (
            self._heartbeat.next_at,
            self._acks.next_at,
            self._marks.next_at,
            self.outbox.next_at,
            self.requests.next_at,
            self.places.stuck_at(),
        )
        return min(at_s for at_s in times if at_s is not None)

    def tick(self, now_s: float) -> None:
        """Time has passed: look at the silence. What is due is written by `take_frames`."""
        self._now_s = now_s
        self.is_stirred = True
        if self._heartbeat is None:
            return
        match self._heartbeat.due(now_s):
            case Beat.DEAD:
                self.drop = "nothing heard"
            case Beat.ASK:
                self._write(ev.Ping())
            case None:
                pass
        if self._is_ready and self.places.is_stuck(now_s):
            self.drop = "a gap was not filled"

    def statistics(self) -> Statistics:
        places = self.places
        return Statistics(
            received=places.received,
            duplicates=places.duplicates,
            gaps=places.gaps,
            overflowed=places.overflowed,
            resent=self.outbox.resent,
            connections=self._connections,
            reconnects=self._reconnects,
            invalid_frames=self._invalid_frames,
            outbox=len(self.outbox),
            waiting=len(places.inbox),
            groups=len(places.groups()),
        )

    # Inside.

    @property
    def _is_ready(self) -> bool:
        """Whether the server has said `welcome` on this connection, and it is good for anything."""
        if self._session is None or self._is_given_up:
            return False
        return bool(self.user) and self._session.state.value == "ready"

    @property
    def _is_given_up(self) -> bool:
        """Whether this connection is to be dropped, or the client has come to its end."""
        return bool(self.drop) or self.failure is not None

    def _write(self, event: ev.Event) -> None:
        if self._session is not None:
            self.is_stirred = True
            self._frames.extend(self._session.send(event))

    def _write_due(self, now_s: float) -> None:
        asks = self.places.asks
        if asks:
            self.places.asks = []
            for start in range(0, len(asks), POSITIONS_PER_RESUME_MAX):
                self._write(self._resume(asks[start : start + POSITIONS_PER_RESUME_MAX]))
        for send in self.outbox.due(now_s):
            self._write(send)
        for request in self.requests.due(now_s):
            self._write(request)
        for ack in self._acks.due(now_s):
            self._write(ack)
        for mark in self._marks.due(now_s, self._live):
            self._write(mark)

    def _resume(self, groups: list[GroupId], *, others: bool = False) -> ev.Resume:
        positions = {group: self.places.position_of(group) for group in groups}
        return ev.Resume(groups=positions, others=others, fresh=self.settings.fresh)

    def _judge_end(self, goodbye: ev.Goodbye | None, close_code: int) -> None:
        code = CODES.get(goodbye.code) if goodbye is not None else _BY_CLOSE.get(close_code)
        number = code.close if code is not None and code.close else close_code
        name = goodbye.code if goodbye is not None else (code.name if code is not None else str(number))
        if 4200 <= number < 4300:
            self.failure = ConnectionEnded(name, goodbye.detail if goodbye is not None else "")
        elif 4100 <= number < 4200:
            self.token_refused = name

    def _on_welcome(self, event: ev.Welcome) -> None:
        if self.user and self.user != event.user:
            self.failure = StoreOfAnother(f"the store is {self.user}'s, the token is {event.user}'s")
            self.drop = "another user"
            return
        if not self.user:
            self.user, self._user_changed = event.user, True
        self.places.user, self.device = event.user, event.device
        self._reconnects += self._connections > 0
        self._connections += 1
        if self._heartbeat is not None:
            self._heartbeat.welcomed(max(0.1, event.ping_interval_ms / 1_000), self._now_s)
        self._expires(event.token_expires_ms, event.time_ms)
        self._live.clear()
        self.outbox.connected()
        self.requests.connected(self._now_s)
        groups = self.places.connected()
        last = len(groups) - len(groups) % POSITIONS_PER_RESUME_MAX
        for start in range(0, last, POSITIONS_PER_RESUME_MAX):
            self._write(self._resume(groups[start : start + POSITIONS_PER_RESUME_MAX]))
        self._write(self._resume(groups[last:], others=True))

    def _expires(self, expires_ms: int | None, server_ms: int) -> None:
        # By the server's clock alone: this machine's may be off.
        self._server_ms = server_ms
        self._server_at_s = self._now_s
        self.refresh_at = None
        if expires_ms is not None:
            self.refresh_at = self._now_s + max(0.0, expires_ms - server_ms) / 1_000 * REFRESH_AT

    def _on_refreshed(self, event: ev.Refreshed) -> None:
        passed_ms = int((self._now_s - self._server_at_s) * 1_000)
        self._expires(event.token_expires_ms, self._server_ms + passed_ms)

    def _on_joined(self, event: ev.JoinedEvent) -> None:
        self.places.joined(event, self._now_s)

    def _on_snapshot(self, event: ev.Snapshot) -> None:
        self.places.snapshot(event)

    def _on_recovered(self, event: ev.Recovered) -> None:
        self.places.recovered(event, self._now_s)
        self._live.add(event.group)
        self._marks.live(event.group, self._now_s)

    def _on_behind(self, event: ev.Behind) -> None:
        self._live.discard(event.group)

    def _on_reset(self, event: ev.Reset) -> None:
        self.places.reset(event)
        self._left(event.group)
        # A snapshot follows. To ask meanwhile, as for a send of this user, would begin from the join all over again.
        self.places.expect(event.group, self._now_s)

    def _on_ended(self, event: ev.Ended) -> None:
        self.places.ended(event, self._now_s)
        self._left(event.group)

    def _left(self, group: GroupId) -> None:
        self._live.discard(group)
        self._marks.forget(group)

    def _on_resumed(self, event: ev.ResumeDone) -> None:
        self.resumed = True
        self._attempt = 0

    def _on_accepted(self, event: ev.Accepted) -> None:
        answer = self.outbox.accepted(event)
        if answer is not None and answer.kind in (kinds.CREATED, kinds.JOINED):
            self.places.joined_at(event.group, event.seq)

    def _on_refused(self, event: ev.RefusedEvent) -> None:
        self.outbox.refused(event)

    def _on_undecided(self, event: ev.Undecided) -> None:
        self.outbox.undecided(event, self._now_s)

    def _on_reply(self, event: ev.Page | ev.GroupList | ev.MemberList) -> None:
        self.requests.answered(event)

    def _on_pointer(self, event: ev.Pointer) -> None:
        self._marks.moved(event)

    def _on_failed(self, event: ev.Failed) -> None:
        if self.requests.failed(event, self._now_s):
            return
        if event.code == "no_such_group":
            if self.places.nothing_there(event.ref, self._now_s):
                self.outbox.no_such_group(event.ref)
        elif event.code == "bad_position":
            # What was kept is damaged: as after a reset, but that the server could not know of it.
            self.places.reset(ev.Reset(group=event.ref, reason=event.code))
            self.places.look_for(event.ref, self._now_s)
        elif event.ref in self.outbox:
            self.outbox.malformed(event.ref, event.code, event.detail)

    def _on_goodbye(self, event: ev.Goodbye) -> None:
        self._goodbye = event


_BY_CLOSE: Final = {code.close: code for code in CODES.values() if code.close}

_HANDLERS: Final[dict[type[ev.Event], Callable[[Core, Any], None]]] = {
    ev.Welcome: Core._on_welcome,
    ev.Refreshed: Core._on_refreshed,
    ev.Snapshot: Core._on_snapshot,
    ev.JoinedEvent: Core._on_joined,
    ev.Recovered: Core._on_recovered,
    ev.Behind: Core._on_behind,
    ev.Reset: Core._on_reset,
    ev.Ended: Core._on_ended,
    ev.ResumeDone: Core._on_resumed,
    ev.Accepted: Core._on_accepted,
    ev.RefusedEvent: Core._on_refused,
    ev.Undecided: Core._on_undecided,
    ev.Page: Core._on_reply,
    ev.GroupList: Core._on_reply,
    ev.MemberList: Core._on_reply,
    ev.Pointer: Core._on_pointer,
    ev.Failed: Core._on_failed,
    ev.Goodbye: Core._on_goodbye,
}
