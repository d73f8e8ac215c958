"""A whole server in memory and at once, for one protocol end to talk to: its logs, outcomes and connections."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.entry import Entry, genesis
from folkmoot.model.fold import changed_memberships, fold
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId, SendId, UserId, group_id
from folkmoot.model.membership import Span, current, span_after, span_of
from folkmoot.model.position import Position, Standing, judge, parse_position, position_at
from folkmoot.model.send import Appended, Outcome, Refused, Send, SendKey
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON, entry_event
from folkmoot.protocol.session import ServerSession
from folkmoot.router.batch import Rules, decide_batch, keys_of

ROOM: Final = 1_000_000
PING_INTERVAL_MS: Final = 25_000


class ScriptedServer:
    """Logs, outcomes and connections of a whole server, in memory and at once. A test is the other members."""

    def __init__(self, *, epoch: int = 1) -> None:
        self.epoch = epoch
        self.states: dict[GroupId, GroupState] = {}
        self.logs: dict[GroupId, list[Entry]] = {}
        self.outcomes: dict[GroupId, dict[SendKey, Outcome]] = {}
        self.ends: list[ServerEnd] = []
        # Answer the next sends with these codes, undecided, in place of deciding them.
        self.busy: deque[str] = deque()
        self.resets = 0
        # Of the tokens, from the hello on; None: they last.
        self.token_lifetime_ms: int | None = None
        self._made = 0

    def state(self, group: GroupId) -> GroupState:
        return self.states.get(group) or empty_group(group, self.epoch, ROOM)

    def log(self, group: GroupId) -> list[Entry]:
        return self.logs.get(group, [])

    def hash_at(self, group: GroupId, seq: int) -> bytes | None:
        """The hash at `seq`, None past the head."""
        if seq == 0:
            return genesis(group)
        log = self.log(group)
        return log[seq - 1].hash if seq <= len(log) else None

    def decide(self, send: Send) -> ev.Event:
        """What a router answers to `send`; an entry that it makes is written to everybody who is live."""
        if self.busy:
            return ev.Undecided(id=send.send_id, group=send.group, code=self.busy.popleft(), retry_after_ms=100)
        state = self.state(send.group)
        known = {k: o for k, o in self.outcomes.get(send.group, {}).items() if k in keys_of([send])}
        rules = Rules(
            now_ms=1_000 + len(self.log(send.group)),
            members_max=1_000,
            full=False,
            refusals_left=lambda _: 1_000,
            salt=lambda: b"0123456789abcdef",
            last_try=True,
        )
        batch = decide_batch(state, [send], known, rules)
        if batch.write is not None:
            self.states[send.group] = batch.write.after
            outcomes = self.outcomes.setdefault(send.group, {})
            for entry in batch.write.entries:
                outcomes[(entry.sender, entry.send_id)] = Appended(entry.seq, entry.kind, entry.digest, entry.salt)
            for key, code in batch.write.refusals.items():
                outcomes[key] = Refused(code)
            for entry in batch.write.entries:
                self._append(state, entry)
        answer = batch.rulings[0].answer
        if answer.seq is not None:
            return ev.Accepted(id=send.send_id, group=send.group, seq=answer.seq)
        if answer.definite:
            return ev.RefusedEvent(id=send.send_id, group=send.group, code=answer.code, detail=answer.detail)
        return ev.Undecided(id=send.send_id, group=send.group, code=answer.code, retry_after_ms=answer.retry_after_ms)

    def create(
        self, creator: UserId, members: Sequence[UserId] = (), *, history_all: bool = False, open_to_all: bool = False
    ) -> GroupId:
        """A group made by someone else than the client under test."""
        body = bodies.Created(
            name="group",
            history="all" if history_all else "join",
            entry="open" if open_to_all else "invite",
            members=tuple(members),
        )
        self._made += 1
        send_id = f"made-{self._made}"
        group = group_id(creator, send_id)
        self._request(group, creator, kinds.CREATED, body, send_id)
        return group

    def say(self, group: GroupId, sender: UserId, text: str) -> None:
        self._request(group, sender, kinds.MESSAGE, bodies.Message(text=text))

    def change(self, group: GroupId, sender: UserId, kind: str, body: bodies.Body) -> None:
        """Any other entry by someone else than the client under test."""
        self._request(group, sender, kind, body)

    def say_unknown(self, group: GroupId, sender: UserId) -> None:
        """An entry of a kind that only a newer client knows."""
        state = self.state(group)
        head = state.head
        entry = kinds.sealed(
            head.hash,
            group=group,
            epoch=head.epoch,
            seq=head.seq + 1,
            kind="message.pinned",
            sender=sender,
            device="",
            send_id=f"unknown-{head.seq}",
            time_ms=1,
            messages=head.messages,
            body=b'{"seq":1}',
            salt=b"0123456789abcdef",
        )
        head = msgspec.structs.replace(head, seq=entry.seq, hash=entry.hash)
        self.states[group] = msgspec.structs.replace(state, head=head)
        self._append(state, entry)

    def restored(self, group: GroupId, head: int) -> None:
        """The log as an older copy has it, and a new life: what came after `head` is gone."""
        log = self.logs[group][:head]
        state = empty_group(group, self.epoch, ROOM)
        self.epoch += 1
        self.logs[group], self.outcomes[group] = [], {}
        self.states[group] = state
        for entry in log:
            self.states[group] = fold(self.states[group], entry)
            self.logs[group].append(entry)
            self.outcomes[group][(entry.sender, entry.send_id)] = Appended(
                entry.seq, entry.kind, entry.digest, entry.salt
            )
        head_now = msgspec.structs.replace(self.states[group].head, epoch=self.epoch)
        self.states[group] = msgspec.structs.replace(self.states[group], head=head_now)

    def _request(self, group: GroupId, sender: UserId, kind: str, body: bodies.Body, send_id: SendId = "") -> None:
        self._made += 1
        membership = self.state(group).membership(sender)
        send = Send(
            group=group,
            sender=sender,
            device="",
            send_id=send_id or f"other-{self._made}",
            join=0 if membership is None else membership.join,
            after=None,
            kind=kind,
            body=bodies.canonical(body),
        )
        busy, self.busy = self.busy, deque()
        answer = self.decide(send)
        self.busy = busy
        assert isinstance(answer, ev.Accepted), answer

    def _append(self, before: GroupState, entry: Entry) -> None:
        changed = changed_memberships(before, entry)
        self.logs.setdefault(entry.group, []).append(entry)
        for end in self.ends:
            end.appended(entry, ended=end.user in changed and not changed[end.user].lasts)
        for end in self.ends:
            if end.user in changed and changed[end.user].lasts:
                end.added(entry.group)


class ServerEnd:
    """The server's end of one connection: what it says is in `said`, whole frames in their order."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.user: UserId = ""
        self.said: deque[bytes] = deque()
        self.heard: list[ev.ClientEvent] = []
        self._session = ServerSession(JSON)
        self._live: set[GroupId] = set()
        self._follows_all = False
        # Called when there is something in `said`, by whoever carries it.
        self.on_said: Callable[[], None] | None = None
        server.ends.append(self)

    def receive(self, frame: bytes) -> None:
        """A frame of the client. A token is the name of its user. Raises FrameInvalid."""
        event = self._session.receive(frame)
        self.heard.append(event)
        match event:
            case ev.Hello():
                self.user = event.token
                self.say(
                    ev.Welcome(
                        user=event.token,
                        device=event.device,
                        version=ev.VERSION,
                        time_ms=0,
                        ping_interval_ms=PING_INTERVAL_MS,
                        token_expires_ms=self.server.token_lifetime_ms,
                    )
                )
            case ev.Refresh():
                self.say(ev.Refreshed(token_expires_ms=None))
            case ev.Resume():
                self._resume(event)
            case ev.Send():
                self.say(self.server.decide(self._send_of(event)))
            case ev.Ping():
                self.say(ev.Pong(ref=event.ref))
            case ev.ListGroups():
                self.say(ev.GroupList(ref=event.ref, groups=[]))
            case _:
                pass

    def say(self, event: ev.Event) -> None:
        self.said.append(self._session.send(event))
        if self.on_said is not None:
            self.on_said()

    def gone(self) -> None:
        """The link is cut: nothing that is in it arrives."""
        self.said.clear()
        if self in self.server.ends:
            self.server.ends.remove(self)

    def appended(self, entry: Entry, *, ended: bool) -> None:
        if entry.group not in self._live:
            return
        self.say(entry_event(entry))
        if ended:
            self._live.discard(entry.group)
            self.say(ev.Ended(group=entry.group, seq=entry.seq))

    def added(self, group: GroupId) -> None:
        if self._follows_all and group not in self._live:
            self._fresh(group, "join", asked=False)

    def _send_of(self, event: ev.Send) -> Send:
        group = event.group
        if not group and event.kind == kinds.CREATED:
            group = group_id(self.user, event.id)
        return Send(
            group=group,
            sender=self.user,
            device="",
            send_id=event.id,
            join=event.join,
            after=event.after,
            kind=event.kind,
            body=bytes(event.body),
        )

    def _resume(self, event: ev.Resume) -> None:
        for group, text in event.groups.items():
            self._live.discard(group)
            if text:
                self._bring(group, parse_position(text))
            else:
                self._fresh(group, event.fresh, asked=True)
        if event.others:
            self._follows_all = True
            for group in sorted(self.server.states):
                if group not in self._live:
                    self._fresh(group, event.fresh, asked=False)
            self.say(ev.ResumeDone(groups=len(self._live)))

    def _fresh(self, group: GroupId, fresh: str, *, asked: bool) -> None:
        state = self.server.state(group)
        membership = state.membership(self.user)
        if membership is None:
            if asked:
                self.say(ev.Failed(code="no_such_group", ref=group))
        elif fresh == "join":
            self._join(state, Span(membership.join, None))
        else:
            self._snapshot(state)
            self._go_live(state)

    def _bring(self, group: GroupId, position: Position) -> None:
        state = self.server.state(group)
        stays = state.memberships.get(self.user, ())
        span = span_after(stays, position.seq, history_all=state.history_all)
        if span is None:
            self.say(ev.Failed(code="no_such_group", ref=group))
            return
        standing = judge(position, self.server.hash_at(group, position.seq))
        if standing is not Standing.HOLDS:
            self.server.resets += 1
            if current(stays) is None:
                self.say(ev.Failed(code="no_such_group", ref=group))
                return
            self.say(ev.Reset(group=group, reason=standing.value))
            self._snapshot(state)
            self._go_live(state)
        elif span.first > position.seq + 1:
            self._join(state, span)
        else:
            self._page(state, position.seq, span)

    def _join(self, state: GroupState, span: Span) -> None:
        seq = span.first - 1
        at = self.server.hash_at(state.group, seq)
        assert at is not None
        stays = state.memberships[self.user]
        membership = next(m for m in stays if span.first in span_of(m, history_all=state.history_all))
        self.say(
            ev.JoinedEvent(
                group=state.group,
                position=str(position_at(self.server.epoch, seq, at)),
                seq=seq,
                join=membership.join,
                name=state.name,
                role=membership.role,
            )
        )
        self._page(state, seq, span)

    def _page(self, state: GroupState, seq: int, span: Span) -> None:
        """All from after `seq` to the end of the span, and what follows from there."""
        log = self.server.log(state.group)
        last = len(log) if span.last is None else span.last
        for entry in log[seq:last]:
            self.say(entry_event(entry))
        if span.last is None:
            self._go_live(state)
            return
        self.say(ev.Ended(group=state.group, seq=span.last))
        following = span_after(state.memberships[self.user], span.last, history_all=state.history_all)
        if following is not None:
            self._join(state, following)

    def _go_live(self, state: GroupState) -> None:
        self._live.add(state.group)
        self.say(ev.Recovered(group=state.group, position=str(state.head.position), seq=state.head.seq))

    def _snapshot(self, state: GroupState) -> None:
        membership = state.membership(self.user)
        assert membership is not None
        self.say(
            ev.Snapshot(
                group=state.group,
                position=str(state.head.position),
                seq=state.head.seq,
                name=state.name,
                join=membership.join,
                role=membership.role,
                members=state.members_count,
                messages=state.head.messages,
                unread=0,
                read=0,
                history="all" if state.history_all else "join",
                entry="open" if state.open else "invite",
            )
        )
