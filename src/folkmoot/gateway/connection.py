"""One client's connection, whatever the transport: frames in, events out, and the groups it follows."""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from folkmoot.gateway.access import Caller
from folkmoot.gateway.admission import TokenBucket
from folkmoot.gateway.feed import Feed
from folkmoot.gateway.follow import WISHES_WAITING_MAX, Follower, Others, Wish
from folkmoot.gateway.identity import TokenRefused
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.queries import UNAVAILABLE_MS
from folkmoot.model import entry as kinds
from folkmoot.model.ids import GroupId, UserId, group_id, is_name
from folkmoot.model.position import Position, PositionInvalid, parse_position
from folkmoot.model.send import Send
from folkmoot.ports.store import StoreAway
from folkmoot.ports.subjects import Answer, PointerMoved
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import FrameInvalid
from folkmoot.protocol.errors import CODES
from folkmoot.protocol.limits import (
    ACKS_PER_FRAME_MAX,
    HELD_BYTES_MAX,
    HELD_FRAMES_MAX,
    POSITIONS_PER_RESUME_MAX,
    SENDS_UNANSWERED_MAX,
    TOKEN_CHARS_MAX,
    WINDOW_ENTRIES_DEFAULT,
    WINDOW_ENTRIES_MAX,
)
from folkmoot.protocol.session import ServerSession

if TYPE_CHECKING:
    from folkmoot.gateway.service import Gateway

QUERIES_WAITING_MAX: Final = 16
"""Of one connection. One more is answered `unavailable`, to be asked again."""

BUSY_FEEDS_MAX: Final = 16
"""Of a connection's groups so many are looked at for whether entries came: who has thousands is pinged, if in doubt."""

WINDOW_FULL_MS: Final = 50
KIND_CHARS_MAX: Final = 64

RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 2.0
"""Between looks at a token while the store is away. A hello has its deadline, a refresh the end of the token before."""

_log = logging.getLogger(__name__)


class Connection:
    """What one client may do and see. A transport calls `receive`, `paused`, `resumed`, `lost`; the wheel the rest."""

    __slots__ = (
        "__weakref__",
        "_events",
        "_follower",
        "_held",
        "_pointers",
        "_queries",
        "_sends",
        "_session",
        "_tokens",
        "_unanswered",
        "_untaken",
        "asked",
        "caller",
        "device",
        "feeds",
        "follows_all",
        "gateway",
        "heard",
        "is_closed",
        "is_paused",
        "outlet",
        "user",
        "window",
    )

    def __init__(self, gateway: "Gateway", outlet: Outlet) -> None:
        self.gateway = gateway
        self.outlet = outlet
        self.caller: Caller | None = None
        self.user: UserId = ""
        self.device = ""
        self.window = WINDOW_ENTRIES_DEFAULT
        self.feeds: dict[GroupId, Feed] = {}
        self.follows_all = False
        self.is_paused = False
        self.is_closed = False
        self.heard = 0
        self.asked = 0
        self._session = ServerSession(outlet.codec)
        self._follower = Follower(self)
        self._held: list[bytes] | None = None
        self._tokens: list[str] | None = None
        self._unanswered = 0
        self._queries = 0
        # While it is paused: what the buffer held at the last ping and what was written since, -1 before the first.
        self._untaken = -1
        # Read pointers to be told once their groups are live again, the newest of each. Hardly any connection has any.
        self._pointers: dict[GroupId, PointerMoved] | None = None
        settings = gateway.settings
        # Most connections never send.
        self._sends: TokenBucket | None = None
        self._events = TokenBucket(settings.events_per_s, settings.events_burst)

    @property
    def unanswered(self) -> int:
        """How many sends wait for an answer."""
        return self._unanswered

    # What the transport calls.

    def receive(self, payload: bytes) -> None:
        """One whole frame from the client. Never raises: what is wrong with it is said to the client."""
        if self.is_closed:
            return
        if self._held is not None:
            self._hold(self._held, payload)
            return
        try:
            event = self._session.receive(payload)
        except FrameInvalid as invalid:
            self.end(invalid.code, invalid.detail)
            return
        if self._events.take(self.gateway.clock.monotonic_s()) > 0:
            self.end("flood", "too many events")
            return
        _HANDLERS[type(event)](self, event)

    def sign_of_life(self) -> None:
        """Anything at all came from the client."""
        self.heard = self.gateway.wheel.now

    def paused(self) -> None:
        """The write buffer passed its high mark: off the feeds, soon; not now, a feed may be writing."""
        self.is_paused = True
        self._untaken = -1
        asyncio.get_running_loop().call_soon(self._fall_behind)

    def resumed(self) -> None:
        self.is_paused = False
        # Those that it has not come to leave meanwhile; the others once they are brought up again.
        for group in list(self._pointers or ()):
            if group in self.feeds:
                self._tell_held_pointer(group)
        self._follower.stir()

    def lost(self) -> None:
        """The socket is gone."""
        if not self.is_closed:
            self._let_go()

    # What the wheel calls.

    def is_busy(self) -> bool:
        if self.is_paused:
            return False
        gateway = self.gateway
        # Half an interval, so that something comes in any one and a half.
        since_s = gateway.clock.monotonic_s() - gateway.settings.ping_interval_s / 2
        return any(feed.taken_s > since_s for feed in islice(self.feeds.values(), BUSY_FEEDS_MAX))

    def ping(self) -> None:
        # A reader this slow answers no ping for a while; that it takes bytes is sign of life enough. What is written to
        # it meanwhile is none.
        if self.is_paused and (self._untaken < 0 or self.outlet.buffered() < self._untaken):
            self.heard = self.gateway.wheel.now
        self.outlet.ping()
        # After it: the ping itself lengthens the buffer of one that takes nothing.
        self._untaken = self.outlet.buffered() if self.is_paused else -1

    def expire(self, code: str) -> None:
        self.end(code)

    # What the gateway calls.

    def retune(self) -> None:
        """Go on at the rates that the settings have now."""
        settings = self.gateway.settings
        if self._sends is not None:
            self._sends.retune(settings.sends_per_s, settings.sends_burst)
        self._events.retune(settings.events_per_s, settings.events_burst)

    # What feeds and followers call.

    def send(self, event: ev.Event) -> None:
        if not self.is_closed:
            self.write(self.outlet.frame(self._session.send(event)))

    def write(self, frames: bytes) -> None:
        if not self.is_closed:
            self.outlet.write(frames)
            if self._untaken >= 0:
                self._untaken += len(frames)

    def follows(self, group: GroupId) -> bool:
        """Whether the group is live here, or being brought up."""
        return group in self.feeds or self._follower.awaits(group)

    def leave_feed(self, group: GroupId) -> None:
        feed = self.feeds.pop(group, None)
        if feed is not None:
            feed.remove(self)

    def removed(self, group: GroupId, seq: int) -> None:
        """The user's membership ended with `seq`, which has been written; the feed has let go."""
        self.feeds.pop(group, None)
        self.send(ev.Ended(group=group, seq=seq))
        # The hint of a later join may have come first, and been passed over since the group was still followed.
        self.added(group)
        self.brought(group)

    def feed_ended(self, group: GroupId, position: Position) -> None:
        """The feed broke at `position` and has let go: the store judges where this connection stands."""
        self.feeds.pop(group, None)
        if not self.is_closed:
            self._follower.want(Wish(group=group, position=position))

    def added(self, group: GroupId) -> None:
        """The user may have become a member of the group: follow it, from the join on, if that is so."""
        if self.follows_all and not self.is_closed and group not in self.feeds:
            self._follower.want(Wish(group=group, fresh="join", asked=False))

    def pointer_moved(self, moved: PointerMoved, feed: Feed | None) -> None:
        """Tell where the user's read pointer in a group stands; `feed`: the group's, on this edge."""
        if self.is_closed or not self.follows(moved.group):
            return
        if self.is_paused or feed is None or not feed.live:
            # Not into the buffer of one that does not read, and not before it can be said how much is unread.
            if self._pointers is None:
                self._pointers = {}
            self._pointers[moved.group] = moved
            return
        if self._pointers is not None:
            self._pointers.pop(moved.group, None)
        self._tell_pointer(moved, feed)

    def brought(self, group: GroupId) -> None:
        """The group is live now, or over, or waits to be brought up anew."""
        if self._pointers is None or group not in self._pointers:
            return
        if group in self.feeds:
            self._tell_held_pointer(group)
        elif not self.follows(group):
            del self._pointers[group]

    def end(self, code: str, detail: str = "", reconnect_after_ms: int | None = None) -> None:
        """Say goodbye with `code` and close."""
        if self.is_closed:
            return
        self.send(ev.Goodbye(code=code, detail=detail, reconnect_after_ms=reconnect_after_ms))
        self._let_go()
        self.gateway.count_end(code)
        self.outlet.close(CODES[code].close, code)

    def admit(self, caller: Caller) -> None:
        """Let the caller in. Only in the very step in which `gateway.access` said that it is good."""
        self.caller = caller
        self.user = caller.user
        self.device = caller.device
        self.gateway.ready(self, caller.expires_ms)
        self.send(
            ev.Welcome(
                user=self.user,
                device=self.device,
                version=ev.VERSION,
                time_ms=self.gateway.clock.wall_ms(),
                ping_interval_ms=int(self.gateway.settings.ping_interval_s * 1_000),
                token_expires_ms=caller.expires_ms,
            )
        )

    def _tell_held_pointer(self, group: GroupId) -> None:
        if self._pointers is not None and not self.is_paused:
            self._tell_pointer(self._pointers.pop(group), self.feeds[group])
            self._pointers = self._pointers or None

    def _tell_pointer(self, moved: PointerMoved, feed: Feed) -> None:
        unread = max(0, feed.messages - moved.messages)
        self.send(ev.Pointer(group=moved.group, read=moved.seq, unread=unread))

    def _let_go(self) -> None:
        self.is_closed = True
        self._held = self._pointers = None
        self._follower.close()
        feeds, self.feeds = self.feeds, {}
        for feed in feeds.values():
            feed.remove(self)
        self.gateway.gone(self)

    def _fall_behind(self) -> None:
        """Leave every feed at the position it has: the follower brings the groups up again once the buffer drains."""
        if self.is_closed or not self.is_paused:
            return
        self.gateway.fell_behind += 1
        for group, feed in list(self.feeds.items()):
            position = feed.position
            self.leave_feed(group)
            self._follower.want(Wish(group=group, position=position, slow=True))

    # What the client asks.

    def _on_hello(self, event: ev.Hello) -> None:
        if ev.VERSION not in event.versions:
            self.end("unsupported_version", f"this server speaks version {ev.VERSION}")
            return
        if not 1 <= event.window <= WINDOW_ENTRIES_MAX or (event.device and not is_name(event.device)):
            self.end("bad_event", f"window is 1 to {WINDOW_ENTRIES_MAX}, a device is a name")
            return
        self.window = event.window
        self._held = []
        self.gateway.spawn(self._enter(event.token, event.device))

    async def _enter(self, token: str, device: str) -> None:
        """Let in whoever the token is for, then take what the client has sent meanwhile."""
        caller = await self._caller_of(token, device)
        # From here to the last held frame there is no await: whoever is shut out after this is told by the bus.
        if caller is None or self.is_closed:
            return
        self.admit(caller)
        held, self._held = self._held, None
        for payload in held or ():
            self.receive(payload)

    def _on_refresh(self, event: ev.Refresh) -> None:
        if self._tokens is None:
            self._tokens = []
            self.gateway.spawn(self._refresh(event.token))
        else:
            self._tokens[:] = [event.token]

    async def _refresh(self, token: str) -> None:
        """Go on with the token, and with the last of those that came meanwhile. Until then the one before it counts."""
        while True:
            caller = await self._caller_of(token, self.device)
            if caller is None or self.is_closed:
                return
            self._renew(caller)
            if not self._tokens:
                break
            token = self._tokens.pop()
        self._tokens = None

    async def _caller_of(self, token: str, device: str) -> Caller | None:
        """Who the token is for, as long as that takes; None once the connection has ended, here or meanwhile."""
        wait_s = RETRY_S
        while not self.is_closed:
            try:
                return await self.gateway.access.of_token(token[: TOKEN_CHARS_MAX + 1], device=device)
            except TokenRefused as refused:
                self.end(refused.code, refused.detail)
            except StoreAway:
                await self.gateway.clock.sleep(wait_s)
                wait_s = min(RETRY_S_MAX, 2 * wait_s)
            except Exception:
                _log.exception("a token could not be looked at")
                self.end("server_error")
        return None

    def _renew(self, caller: Caller) -> None:
        if (caller.user, caller.device) != (self.user, self.device):
            self.end("token_invalid", "the token is another user's, or another device's")
            return
        self.caller = caller
        self.gateway.wheel.renewed(self, caller.expires_ms)
        self.send(ev.Refreshed(token_expires_ms=caller.expires_ms))

    def _hold(self, held: list[bytes], payload: bytes) -> None:
        held.append(payload)
        if len(held) > HELD_FRAMES_MAX or sum(map(len, held)) > HELD_BYTES_MAX:
            self.end("flood", "too much was sent before the answer to the hello")

    def _on_resume(self, event: ev.Resume) -> None:
        if len(event.groups) > POSITIONS_PER_RESUME_MAX:
            self._fail("too_many", "", f"at most {POSITIONS_PER_RESUME_MAX} groups a resume")
            return
        if event.fresh not in ("head", "join"):
            self._fail("bad_request", "", "fresh is head or join")
            return
        for group, text in event.groups.items():
            self._resume_group(group, text, event.fresh)
        if event.others:
            self.follows_all = True
            self._follower.want(Others(event.fresh))

    def _resume_group(self, group: GroupId, text: str, fresh: str) -> None:
        try:
            position = parse_position(text) if text else None
        except PositionInvalid:
            self._fail("bad_position", group)
            return
        if not self._follower.want(Wish(group=group, position=position, fresh=fresh, named=True)):
            self._fail("too_many", group, f"at most {WISHES_WAITING_MAX} groups may wait")

    def _on_ack(self, event: ev.Ack) -> None:
        if len(event.groups) > ACKS_PER_FRAME_MAX:
            self._fail("too_many", "", f"at most {ACKS_PER_FRAME_MAX} groups an ack")
            return
        for group, seq in event.groups.items():
            self._follower.acked(group, seq)

    def _on_send(self, event: ev.Send) -> None:
        send = self._send_of(event)
        if send is None:
            self._fail("bad_request", event.id[:200], "an id, a group, a kind, a join or an after is not one")
            return
        if self.gateway.draining:
            self._undecided(send, "draining", 1_000)
            return
        if self._unanswered >= SENDS_UNANSWERED_MAX:
            self._undecided(send, "window_full", WINDOW_FULL_MS)
            return
        if self._sends is None:
            settings = self.gateway.settings
            self._sends = TokenBucket(settings.sends_per_s, settings.sends_burst)
        wait_s = self._sends.take(self.gateway.clock.monotonic_s())
        if wait_s > 0:
            self._undecided(send, "rate_limited", int(wait_s * 1_000) + 1)
            return
        self._unanswered += 1
        self.gateway.submitter.submit(send, self._answered)

    def _send_of(self, event: ev.Send) -> Send | None:
        """The send as a router takes it, or None: ids and numbers that are none. Bodies are the router's to judge."""
        group = event.group
        if not is_name(event.id) or (event.after is not None and not is_name(event.after)):
            return None
        if not 0 <= event.join < 2**63 or not 0 < len(event.kind) <= KIND_CHARS_MAX:
            return None
        if event.kind == kinds.CREATED and not group:
            group = group_id(self.user, event.id)
        if not is_name(group):
            return None
        return Send(
            group=group,
            sender=self.user,
            device=self.device,
            send_id=event.id,
            join=event.join,
            after=event.after,
            kind=event.kind,
            body=bytes(event.body),
        )

    def _answered(self, answer: Answer) -> None:
        self._unanswered -= 1
        if answer.seq is not None:
            self.send(ev.Accepted(id=answer.send_id, group=answer.group, seq=answer.seq))
        elif answer.definite:
            self.send(ev.RefusedEvent(id=answer.send_id, group=answer.group, code=answer.code, detail=answer.detail))
        else:
            self.send(
                ev.Undecided(
                    id=answer.send_id,
                    group=answer.group,
                    code=answer.code,
                    detail=answer.detail,
                    retry_after_ms=answer.retry_after_ms,
                )
            )

    def _on_query(self, event: ev.Read | ev.ListGroups | ev.ListMembers) -> None:
        if self._queries >= QUERIES_WAITING_MAX:
            self.send(ev.Failed(code="unavailable", ref=event.ref, detail="too many at once", retry_after_ms=100))
            return
        self._queries += 1
        self.gateway.spawn(self._query(event))

    async def _query(self, event: ev.Read | ev.ListGroups | ev.ListMembers) -> None:
        try:
            async with self.gateway.reading:
                answer = await self.gateway.queries.answer(self.user, event)
            self.send(answer)
        finally:
            self._queries -= 1

    def _on_mark_read(self, event: ev.MarkRead) -> None:
        at = self.feeds.get(event.group) or self._follower.place
        if at is None or at.group != event.group:
            if self._follower.awaits(event.group):
                self.send(ev.Failed(code="unavailable", ref=event.group, retry_after_ms=UNAVAILABLE_MS))
            else:
                # Not `no_such_group`: with the group as its ref that answers a resume, and ends the group there.
                self._fail("no_such_entry", event.group, "the group is not live on this connection")
        elif not 0 <= event.seq <= at.seq:
            self._fail("bad_request", event.group, "no such entry yet")
        else:
            self.gateway.pointers.move(self.user, event.group, at.epoch, event.seq)

    def _on_ping(self, event: ev.Ping) -> None:
        self.send(ev.Pong(ref=event.ref[:200]))

    def _fail(self, code: str, ref: str, detail: str = "") -> None:
        self.send(ev.Failed(code=code, ref=ref, detail=detail))

    def _undecided(self, send: Send, code: str, retry_after_ms: int) -> None:
        self.send(ev.Undecided(id=send.send_id, group=send.group, code=code, retry_after_ms=retry_after_ms))


_HANDLERS: Final[dict[type[msgspec.Struct], Callable[[Connection, Any], None]]] = {
    ev.Hello: Connection._on_hello,
    ev.Refresh: Connection._on_refresh,
    ev.Resume: Connection._on_resume,
    ev.Ack: Connection._on_ack,
    ev.Send: Connection._on_send,
    ev.Read: Connection._on_query,
    ev.ListGroups: Connection._on_query,
    ev.ListMembers: Connection._on_query,
    ev.MarkRead: Connection._on_mark_read,
    ev.Ping: Connection._on_ping,
}
