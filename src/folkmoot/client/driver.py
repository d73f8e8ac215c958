"""The task that keeps one client connected: links made and made again, one timer, commits before frames."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

from folkmoot.client.core import Core
from folkmoot.client.errors import ClientError, ConnectionEnded, NotConnected
from folkmoot.client.kept import Changes
from folkmoot.client.link import LOST, Connect, Link
from folkmoot.client.outbox import Answered
from folkmoot.client.received import Batch, GroupEvent, Hidden, Item, Received
from folkmoot.client.requests import Replied
from folkmoot.client.store import ClientStore, SqliteClientStore
from folkmoot.model.ids import SendId
from folkmoot.protocol.codec import FrameInvalid

_log = logging.getLogger(__name__)

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
OnBatch: TypeAlias = Callable[[sqlite3.Connection, Batch], None]

LINK_S_MAX: Final = 10.0
"""An address that has not answered by then is tried again."""

LEAVE_S_MAX: Final = 1.0
"""What was written reaches a server that still reads by then."""


class Driver:
    """Everything of a client that waits. The link calls `heard`, `frame`, `read_done` and `lost`."""

    def __init__(
        self,
        url: str,
        token: Token,
        store: ClientStore,
        core: Core,
        *,
        connect: Connect,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.core = core
        self.failure: BaseException | None = None
        self.last_error: BaseException | None = None
        self.on_event: Callable[[GroupEvent], None] | None = None
        self.on_answer: Callable[[Answered], None] | None = None
        self._url = url
        self._token = token
        self._token_held = "" if callable(token) else token
        self._store = store
        self._connect = connect
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        # What was missed may be more than the window: the rest comes only as the application takes what is there.
        self._ready_at = max(1, core.settings.window // 2)
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._link: Link | None = None
        self._lost: asyncio.Future[int] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._flush_planned = False
        self._arrived: asyncio.Future[None] | None = None
        self._answers: dict[SendId, list[asyncio.Future[Answered]]] = {}
        self._replies: dict[str, asyncio.Future[Replied]] = {}

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self.core.resumed

    def start(self) -> None:
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Take leave of the server and let everybody go who waits."""
        link = self._link
        self._finish(None)
        if link is not None:
            try:
                async with asyncio.timeout(LEAVE_S_MAX):
                    await asyncio.shield(self._lost)
            except TimeoutError:
                link.abort()
        tasks = [task for task in (self._task, self._refreshing) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the client asks.

    def answer_to(self, send_id: SendId) -> "asyncio.Future[Answered]":
        """What becomes of a send that has just been put into the outbox."""
        answer: asyncio.Future[Answered] = self._loop.create_future()
        self._answers.setdefault(send_id, []).append(answer)
        self.flush_soon()
        return answer

    def forget_answer(self, send_id: SendId, answer: "asyncio.Future[Answered]") -> None:
        waiting = self._answers.get(send_id, [])
        with suppress(ValueError):
            waiting.remove(answer)
        if not waiting:
            self._answers.pop(send_id, None)

    def reply_to(self, ref: str) -> "asyncio.Future[Replied]":
        """The reply to a request that has just been put."""
        reply: asyncio.Future[Replied] = self._loop.create_future()
        self._replies[ref] = reply
        self.flush_soon()
        return reply

    def forget_reply(self, ref: str) -> None:
        self._replies.pop(ref, None)
        self.core.requests.forget(ref)

    def flush_soon(self) -> None:
        """Keep and transmit what was asked for, all that this turn of the loop asks for at once."""
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._planned_flush)

    # What the inbox asks.

    def take_items(self) -> list[Item]:
        if self.failure is not None:
            raise self.failure
        if self.ended.done():
            return []
        items = self.core.take_items(self._loop.time())
        if self.core.places.asks:
            # Something had no room before, and has now.
            self.flush_soon()
        return items

    async def more_items(self) -> bool:
        if self.ended.done():
            return False
        if not self.core.places.inbox:
            self._arrived = self._loop.create_future()
            await self._arrived
        return not self.ended.done() or self.failure is not None

    def keep_items(self, items: list[Item]) -> None:
        core = self.core
        changes = core.take_changes() if core.is_stirred else Changes()
        changes.places = core.places.kept_after(items)
        try:
            self._store.commit(changes)
        except BaseException as error:
            self._finish(error)
            raise
        now_s = self._loop.time()
        core.committed(items, now_s)
        self._arm(now_s)

    # What the link calls.

    def heard(self) -> None:
        self.core.heard(self._loop.time())

    def frame(self, payload: bytes) -> None:
        try:
            self.core.receive(payload)
        except FrameInvalid as invalid:
            _log.warning("invalid frame", extra={"code": invalid.code})
            self.core.invalid()

    def read_done(self) -> None:
        self.flush()

    def lost(self, close_code: int) -> None:
        self._link = None
        if not self._lost.done():
            self._lost.set_result(close_code)

    # Inside.

    async def _run(self) -> None:
        try:
            while True:
                delay_s = await self._one_link()
                if self.core.failure is not None:
                    raise self.core.failure
                await asyncio.sleep(delay_s)
        except Exception as error:
            self._finish(error)

    async def _one_link(self) -> float:
        """One connection, from the token to its loss: seconds to wait before the next."""
        core, loop = self.core, self._loop
        try:
            token = await self._token_for_hello()
            self._lost = loop.create_future()
            async with asyncio.timeout(LINK_S_MAX):
                self._link = await self._connect(self._url, self)
        except ConnectionEnded:
            raise
        except Exception as error:
            # An address or a token service that is away now may be there at the next attempt.
            self.last_error = error if not isinstance(error, TimeoutError) else NotConnected("no answer")
            return core.lost(LOST, loop.time())
        core.opened(token, loop.time())
        self.flush()
        close_code = await asyncio.shield(self._lost)
        # What came with the last read is taken before it is forgotten that there was a link.
        self.flush()
        delay_s = core.lost(close_code, loop.time())
        self._arm(loop.time())
        return delay_s

    async def _token_for_hello(self) -> str:
        refused = self.core.token_refused
        if not callable(self._token):
            if refused:
                raise ConnectionEnded(refused, "there is only this one token")
            return self._token
        if refused or not self._token_held:
            self._token_held = await self._new_token()
        return self._token_held

    async def _new_token(self) -> str:
        assert callable(self._token)
        token = self._token()
        return token if isinstance(token, str) else await token

    async def _refresh(self) -> None:
        try:
            self._token_held = await self._new_token()
        except Exception:
            # The old one is good for a while yet; once it is not, a new one is asked for before connecting again.
            _log.warning("no new token", exc_info=True)
            return
        self.core.refresh(self._token_held)
        self.flush()

    def _planned_flush(self) -> None:
        self._flush_planned = False
        self.flush()

    def flush(self) -> None:
        """Keep what changed, tell what became known, write what is due: in this order."""
        if self.ended.done():
            return
        try:
            self._flush()
        except Exception as error:
            self._finish(error)

    def _flush(self) -> None:
        core = self.core
        if core.is_stirred or core.places.asks or self._on_batch is not None:
            self._flush_all(self._loop.time())
        if core.places.inbox and self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        if not self.ready.done() and (core.resumed or len(core.places.inbox) >= self._ready_at):
            self.ready.set_result(None)

    def _flush_all(self, now_s: float) -> None:
        core = self.core
        if core.places.inbox and self._on_batch is not None:
            self._apply(self._on_batch, now_s)
        else:
            changes = core.take_changes()
            if changes:
                self._store.commit(changes)
        self._tell_answers()
        frames = core.take_frames(now_s)
        link = self._link
        if link is not None:
            if frames:
                link.write(frames)
            if core.drop:
                _log.info("dropping the connection: %s", core.drop)
                link.abort()
        self._arm(now_s)

    def _apply(self, on_batch: OnBatch, now_s: float) -> None:
        """Let the application apply what came in, in the transaction that moves its places."""
        assert isinstance(self._store, SqliteClientStore)
        core = self.core
        items = core.take_items(now_s)
        batch = Batch(items)

        def apply(tx: sqlite3.Connection) -> Changes:
            if batch.items:
                on_batch(tx, batch)
            # What the application sends from within is kept in the same transaction, and transmitted after it.
            changes = core.take_changes()
            changes.places = core.places.kept_after(items)
            return changes

        self._store.commit_with(apply)
        core.committed(items, now_s)
        if self.on_event is not None:
            for item in items:
                if not isinstance(item, Received | Hidden):
                    self.on_event(item)

    def _tell_answers(self) -> None:
        answers, replies = self.core.take_answers()
        for answered in answers:
            for waiting in self._answers.pop(answered.send_id, ()):
                if not waiting.done():
                    waiting.set_result(answered)
            if self.on_answer is not None:
                self.on_answer(answered)
        for replied in replies:
            reply = self._replies.pop(replied.ref, None)
            if reply is not None and not reply.done():
                reply.set_result(replied)

    def _arm(self, now_s: float) -> None:
        """One timer: an early ring costs less than setting it anew with each frame."""
        at_s = self.core.next_at()
        refresh_at = self.core.refresh_at
        if refresh_at is not None and at_s is not None and callable(self._token):
            at_s = min(at_s, refresh_at)
        timer = self._timer
        if at_s is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
        elif timer is None or self._timer_at > at_s:
            if timer is not None:
                timer.cancel()
            # Kept beside the timer: where the time has come already, not every loop's handle has a `when`.
            self._timer_at = max(at_s, now_s)
            self._timer = self._loop.call_at(self._timer_at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        self.core.tick(now_s)
        refresh_at = self.core.refresh_at
        if refresh_at is not None and now_s >= refresh_at and callable(self._token):
            self.core.refresh_at = None
            self._refreshing = self._loop.create_task(self._refresh())
        self.flush()

    def _finish(self, error: BaseException | None) -> None:
        """Nothing is kept, told or written any more."""
        if self.ended.done():
            return
        self.failure = error
        self.ended.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._task, self._refreshing):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if not self.ready.done():
            self.ready.set_exception(error or ClientError("closed"))
            self.ready.exception()  # Whoever waits gets it; where nobody does, it is no news.
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        for send_id, waiting in self._answers.items():
            for answer in waiting:
                if not answer.done():
                    answer.set_result(Answered(send_id=send_id, group="", kind="", code="closed", settled=False))
        for ref, reply in self._replies.items():
            if not reply.done():
                reply.set_result(Replied(ref, None, "closed"))
