"""The client as an application holds it: verbs that wait for their answer, and an iteration over what comes in."""

import asyncio
import inspect
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

import folkmoot
from folkmoot.client.core import Core, CoreSettings, Statistics
from folkmoot.client.driver import Driver, OnBatch, Token
from folkmoot.client.errors import ClientError, NotConnected, RequestFailed, SendRefused, SendUnknown
from folkmoot.client.inbox import Inbox
from folkmoot.client.link import Connect, connecting, socket_url
from folkmoot.client.outbox import SENDS_MAX_DEFAULT, Answered
from folkmoot.client.received import Batch, GroupEvent, Received, received_of
from folkmoot.client.reconnect import DELAY_S_MAX
from folkmoot.client.requests import Request
from folkmoot.client.sends import EntryRule, History, Role, creation, message, prepared
from folkmoot.client.store import ClientStore, MemoryClientStore, SqliteClientStore
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.ids import DeviceId, GroupId, SendId, UserId
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import WINDOW_ENTRIES_DEFAULT

CONNECT_S_MAX: Final = 30.0
REQUEST_S_MAX: Final = 30.0
SEND_ID_BYTES: Final = 16


class HistoryPage(msgspec.Struct, frozen=True):
    """Entries in rising order; `more`: there are others in the direction asked for. `head` is the group's last seq.

    Those of a kind that this version does not know are left out.
    """

    entries: list[Received]
    more: bool
    head: int


class Client:
    """One user on one device. `async with` connects, and returns once everything missed has come in.

    `token` is a token, or a function (async or not) that gives a new one when there is none or the last has expired.
    `store` keeps places and outbox across restarts: a path, or a ClientStore; None keeps them in memory only.
    `ca_file` names the authority (PEM) of a server whose certificate is not of a public one.
    `fresh` says where a group without a place starts: at its "head", or at the user's "join".

    With `on_batch(tx, batch)` entries go there and nowhere else: it is called inside the transaction of the store's
    SQLite file that moves the places, so whatever it writes through `tx` is written exactly once, whenever the process
    is killed. It must not wait, and not commit; what it raises ends the client, with nothing of the batch written.

    Without it, iterate: `async for entry in client`, or `async for batch in client.batches()`. An entry is done, and
    its place kept, when the next is asked for: after a kill, those not yet done come again.

    Once it is closed, or something has ended it, every verb raises at once: ClientError, or RequestFailed (`closed`),
    caused by what ended it. What it knew can still be looked at, as with `pending` and `statistics`.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        device: DeviceId = "",
        store: ClientStore | Path | None = None,
        fresh: Literal["head", "join"] = "head",
        window: int = WINDOW_ENTRIES_DEFAULT,
        on_batch: OnBatch | None = None,
        connect_s_max: float | None = CONNECT_S_MAX,
        reconnect_s_max: float = DELAY_S_MAX,
        outbox_sends_max: int = SENDS_MAX_DEFAULT,
        draw: Callable[[], float] = random.random,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        ca_file: Path | str = "",
        link: Connect | None = None,
    ) -> None:
        if isinstance(store, Path):
            store = SqliteClientStore(store)
        if on_batch is not None and not isinstance(store, SqliteClientStore):
            raise ValueError("on_batch needs a store in a file: there is no transaction without one")
        if inspect.iscoroutinefunction(on_batch):
            raise TypeError("on_batch runs inside a transaction and cannot wait: make it a plain function")
        self._url = socket_url(url)
        self._token = token
        self._store: ClientStore = MemoryClientStore() if store is None else store
        self._settings = CoreSettings(
            device=device,
            fresh=fresh,
            window=window,
            outbox_sends_max=outbox_sends_max,
            reconnect_s_max=reconnect_s_max,
            client=f"folkmoot-python/{folkmoot.__version__}",
        )
        self._on_batch = on_batch
        self._connect_s_max = connect_s_max
        self._draw = draw
        self._random_bytes = random_bytes
        self._link = link or connecting(ca_file)
        self._driver: Driver | None = None
        self._inbox: Inbox | None = None
        self._closed = False
        self.on_event: Callable[[GroupEvent], None] | None = None
        """Called with what happens in a group beside entries: at its place among the entries where they are iterated
        one by one, before the batch it is in with `batches`, after the commit with `on_batch`."""
        self.on_answer: Callable[[Answered], None] | None = None
        """Called with the answer to any send of the outbox, also one made before a restart."""

    # Its life.

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._close(last_is_done=kind is None)

    async def connect(self) -> None:
        """Connect, and return once everything missed has come in.

        Raises NotConnected where that takes longer than `connect_s_max` seconds, ConnectionEnded where the server will
        not have this client, StoreOfAnother, StoreUnknown. Later the client connects again by itself, for ever.
        """
        if self._driver is not None or self._closed:
            raise ClientError("a client connects once; make another")
        core = Core(self._store.load(), self._settings, draw=self._draw)
        driver = self._driver = Driver(
            self._url, self._token, self._store, core, connect=self._link, on_batch=self._on_batch
        )
        self._inbox = Inbox(driver)
        self._inbox.on_event = self._tell_event
        driver.on_event = self._tell_event
        driver.on_answer = self._tell_answer
        driver.start()
        try:
            async with asyncio.timeout(self._connect_s_max):
                await asyncio.shield(driver.ready)
        except TimeoutError:
            reason = driver.last_error
            await self.close()
            raise NotConnected(f"not connected within {self._connect_s_max} s: {reason or 'no answer'}") from reason
        except BaseException:
            await self._close(last_is_done=False)
            raise

    async def close(self) -> None:
        """Commit what was handed over and take leave. Sends without an answer stay in the store's outbox."""
        await self._close(last_is_done=True)

    async def wait_closed(self) -> None:
        """Return once the client was closed. Raises what ended it otherwise."""
        driver = self._open()
        await asyncio.shield(driver.ended)
        if driver.failure is not None:
            raise driver.failure

    async def _close(self, *, last_is_done: bool) -> None:
        if self._closed:
            return
        self._closed = True
        driver, inbox = self._driver, self._inbox
        if driver is None or inbox is None:
            return
        try:
            if driver.failure is None:
                inbox.close(last=last_is_done)
                driver.flush()
            else:
                inbox.clear()
        finally:
            await driver.stop()
            self._store.close()

    # What comes in.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        return await self._reading().entry()

    async def batches(self) -> AsyncIterator[Batch]:
        """What comes in, all since the last batch at once; a batch is committed when the next is asked for."""
        inbox = self._reading()
        while True:
            try:
                batch = await inbox.batch()
            except StopAsyncIteration:
                return
            yield batch

    def position(self, group: GroupId) -> str | None:
        """The position up to which entries of the group have come in, None where the user is in no such group."""
        place = self._open().core.places.get(group)
        return None if place is None else place.position

    @property
    def user(self) -> UserId:
        """Who the token is for, "" before the first connection."""
        return "" if self._driver is None else self._driver.core.user

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected now, and has everything that it missed."""
        return self._driver is not None and self._driver.is_connected

    def statistics(self) -> Statistics:
        """Received, duplicates, gaps, reconnects, the outbox's length and the like."""
        return self._open().core.statistics()

    # What goes out: each raises SendRefused, SendUnknown or OutboxFull.

    async def send(
        self,
        group: GroupId,
        text: str = "",
        *,
        type: str = "",
        data: Any = None,
        send_id: SendId | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Send a message: its seq, once it is in the log for good.

        Text, or an application's own `type` with `data` (anything that JSON can say), or both. The same `send_id`
        again is the same message. After SendUnknown, and when the wait is cancelled, it goes on being sent.
        """
        send_id = self.post(group, text, type=type, data=data, send_id=send_id)
        return await self._seq(send_id, timeout_s)

    def post(
        self, group: GroupId, text: str = "", *, type: str = "", data: Any = None, send_id: SendId | None = None
    ) -> SendId:
        """Put a message into the outbox without waiting for its answer (see `on_answer`): its send id.

        Called within `on_batch` it is kept in the same transaction: an answer to an entry is given exactly once.
        """
        return self._put(group, kinds.MESSAGE, message(text, type, data), send_id)

    async def create_group(
        self,
        name: str,
        *,
        members: Sequence[UserId] = (),
        history: History = "join",
        entry: EntryRule = "invite",
        send_id: SendId | None = None,
        timeout_s: float | None = None,
    ) -> GroupId:
        """Make a group of this user (its owner) and `members`: its id. With the same `send_id`, the same group."""
        send_id = self._put("", kinds.CREATED, creation(name, members, history, entry), send_id)
        answered = await self._answer(send_id, timeout_s)
        return answered.group

    async def add(self, group: GroupId, users: Sequence[UserId], *, send_id: SendId | None = None) -> int:
        """Make `users` members; who is one already stays as they are."""
        return await self._seq(self._put(group, kinds.ADDED, bodies.Added(users=tuple(users)), send_id))

    async def remove(self, group: GroupId, user: UserId, *, send_id: SendId | None = None) -> int:
        return await self._seq(self._put(group, kinds.REMOVED, bodies.Removed(user=user), send_id))

    async def leave(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        return await self._seq(self._put(group, kinds.LEFT, bodies.Left(), send_id))

    async def join(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        """Join an open group."""
        return await self._seq(self._put(group, kinds.JOINED, bodies.Joined(), send_id))

    async def rename(self, group: GroupId, name: str, *, send_id: SendId | None = None) -> int:
        return await self._seq(self._put(group, kinds.RENAMED, bodies.Renamed(name=name), send_id))

    async def delete_group(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        """End the group for all its members, for good. Only owners may."""
        return await self._seq(self._put(group, kinds.DELETED, bodies.Deleted(), send_id))

    async def set_role(self, group: GroupId, user: UserId, role: Role, *, send_id: SendId | None = None) -> int:
        return await self._seq(self._put(group, kinds.ROLE, bodies.RoleChanged(user=user, role=role), send_id))

    async def skip(self, group: GroupId, send_id: SendId, *, timeout_s: float | None = None) -> int | None:
        """Give a send up: None once it is sure never to be in the log, its seq where it is in it already."""
        driver = self._running()
        driver.core.skip(group, send_id)
        try:
            return await self._seq(send_id, timeout_s)
        except SendRefused:
            return None

    def pending(self) -> list[SendId]:
        """The sends without an answer, in the order in which they were made."""
        return [send.send_id for send in self._open().core.outbox.pending()]

    # What is asked: each raises RequestFailed.

    async def groups(self, after: GroupId = "", limit: int = 100) -> ev.GroupList:
        """A page of the user's groups, in the order of their ids; `next` is the `after` of the next page, or None."""
        ref = self._open().core.requests.next_ref()
        reply = await self._ask(ev.ListGroups(ref=ref, after=after, limit=limit))
        assert isinstance(reply, ev.GroupList)
        return reply

    async def members(self, group: GroupId, after: UserId = "", limit: int = 100) -> ev.MemberList:
        """A page of the group's members, in the order of their names."""
        ref = self._open().core.requests.next_ref()
        reply = await self._ask(ev.ListMembers(ref=ref, group=group, after=after, limit=limit))
        assert isinstance(reply, ev.MemberList)
        return reply

    async def history(
        self, group: GroupId, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """A page of the group's log: forwards from a seq, or backwards from one, or its end."""
        ref = self._open().core.requests.next_ref()
        reply = await self._ask(ev.Read(ref=ref, group=group, after=after, before=before, limit=limit))
        assert isinstance(reply, ev.Page)
        entries = [received_of(entry) for entry in reply.entries if entry.kind in kinds.KINDS]
        return HistoryPage(entries, reply.more, reply.head)

    def mark_read(self, group: GroupId, seq: int) -> None:
        """Move the user's read pointer in the group to `seq`; told to the server at most once a second a group."""
        driver = self._running()
        driver.core.mark_read(group, seq, asyncio.get_running_loop().time())
        driver.flush_soon()

    # Inside.

    def _open(self) -> Driver:
        if self._driver is None:
            raise ClientError("the client is not connected: use `async with`, or `connect`")
        return self._driver

    def _running(self) -> Driver:
        """For what only a client that goes on can do: of one that has ended nobody would ever be told more."""
        driver = self._open()
        if self._has_ended(driver):
            raise ClientError("the client is closed") from driver.failure
        return driver

    def _has_ended(self, driver: Driver) -> bool:
        return self._closed or driver.ended.done()

    def _reading(self) -> Inbox:
        if self._on_batch is not None:
            raise RuntimeError("entries go to on_batch: there is nothing to iterate over")
        self._open()
        assert self._inbox is not None
        return self._inbox

    def _put(self, group: GroupId, kind: str, body: bodies.Body, send_id: SendId | None) -> SendId:
        driver = self._running()
        core = driver.core
        join = core.places.join_of(group)
        if kind in (kinds.CREATED, kinds.JOINED):
            join = 0
        send = prepared(send_id or self._random_bytes(SEND_ID_BYTES).hex(), group, kind, body, join)
        core.send(send)
        driver.flush_soon()
        return send.send_id

    async def _seq(self, send_id: SendId, timeout_s: float | None = None) -> int:
        answered = await self._answer(send_id, timeout_s)
        assert answered.seq is not None
        return answered.seq

    async def _answer(self, send_id: SendId, timeout_s: float | None = None) -> Answered:
        """The answer that says where the send is in the log. Raises what it says otherwise."""
        driver = self._open()
        answer = driver.answer_to(send_id)
        try:
            async with asyncio.timeout(timeout_s):
                answered = await answer
        except TimeoutError:
            raise SendUnknown("timeout", f"no answer within {timeout_s} s", send_id=send_id) from None
        finally:
            driver.forget_answer(send_id, answer)
        if answered.seq is not None:
            return answered
        if answered.definite:
            raise SendRefused(answered.code, answered.detail, send_id=send_id)
        raise SendUnknown(answered.code, answered.detail, send_id=send_id) from driver.failure

    async def _ask(self, request: Request) -> ev.Page | ev.GroupList | ev.MemberList:
        driver = self._open()
        if self._has_ended(driver):
            raise RequestFailed("closed") from driver.failure
        driver.core.ask(request)
        reply = driver.reply_to(request.ref)
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                replied = await reply
        except TimeoutError:
            raise RequestFailed("timeout", f"no answer within {REQUEST_S_MAX} s") from None
        finally:
            driver.forget_reply(request.ref)
        if replied.reply is None:
            raise RequestFailed(replied.code, replied.detail) from driver.failure
        return replied.reply

    def _tell_event(self, event: GroupEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def _tell_answer(self, answered: Answered) -> None:
        if self.on_answer is not None:
            self.on_answer(answered)
