"""The client for code without asyncio: the same verbs, blocking, over a loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from folkmoot.client.client import Client, HistoryPage
from folkmoot.client.core import Statistics
from folkmoot.client.driver import Token
from folkmoot.client.errors import ClientError
from folkmoot.client.received import Batch, GroupEvent, Received
from folkmoot.client.sends import EntryRule, History, Role
from folkmoot.model.ids import GroupId, SendId, UserId
from folkmoot.protocol import events as ev

T = TypeVar("T")


class SyncClient:
    """A `Client` whose verbs block. Takes the same arguments, raises the same errors, keeps the same promises.

    `on_batch`, `on_event`, `on_answer` and a token function are called in the client's own thread, and must not call
    verbs that wait.
    """

    def __init__(self, url: str, token: Token, **options: Any) -> None:
        self._client = Client(url, token, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="folkmoot-client", daemon=True)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(lambda: self._client.__aexit__(kind, error, trace))

    def connect(self) -> None:
        """As `Client.connect`."""
        if self._thread.ident is not None:
            raise ClientError("a client connects once; make another")
        self._thread.start()
        try:
            self._wait(self._client.connect())
        except BaseException:
            self._leave(self._client.close)
            raise

    def close(self) -> None:
        """As `Client.close`; ends the thread too."""
        self._leave(self._client.close)

    # What comes in.

    def on_event(self, listener: Callable[[GroupEvent], None]) -> None:
        self._client.on_event = listener

    def receive(self, timeout_s: float | None = None) -> Received | None:
        """The next entry, None where none came within `timeout_s` or the client was closed. Done with the next call."""
        return self._wait(self._next(timeout_s))

    def __iter__(self) -> Iterator[Received]:
        while (entry := self.receive()) is not None:
            yield entry

    def batches(self) -> Iterator[Batch]:
        """As `Client.batches`: much quicker than one by one."""
        batches = self._client.batches()

        async def following() -> Batch | None:
            return await anext(batches, None)

        while (batch := self._wait(following())) is not None:
            yield batch

    def position(self, group: GroupId) -> str | None:
        return self._client.position(group)

    @property
    def user(self) -> UserId:
        return self._client.user

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    def statistics(self) -> Statistics:
        return self._client.statistics()

    # What goes out and what is asked: see `Client`.

    def send(
        self,
        group: GroupId,
        text: str = "",
        *,
        type: str = "",
        data: Any = None,
        send_id: SendId | None = None,
        timeout_s: float | None = None,
    ) -> int:
        return self._wait(self._client.send(group, text, type=type, data=data, send_id=send_id, timeout_s=timeout_s))

    def create_group(
        self,
        name: str,
        *,
        members: Sequence[UserId] = (),
        history: History = "join",
        entry: EntryRule = "invite",
        send_id: SendId | None = None,
    ) -> GroupId:
        return self._wait(
            self._client.create_group(name, members=members, history=history, entry=entry, send_id=send_id)
        )

    def add(self, group: GroupId, users: Sequence[UserId], *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.add(group, users, send_id=send_id))

    def remove(self, group: GroupId, user: UserId, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.remove(group, user, send_id=send_id))

    def delete_group(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.delete_group(group, send_id=send_id))

    def leave(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.leave(group, send_id=send_id))

    def join(self, group: GroupId, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.join(group, send_id=send_id))

    def rename(self, group: GroupId, name: str, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.rename(group, name, send_id=send_id))

    def set_role(self, group: GroupId, user: UserId, role: Role, *, send_id: SendId | None = None) -> int:
        return self._wait(self._client.set_role(group, user, role, send_id=send_id))

    def skip(self, group: GroupId, send_id: SendId) -> int | None:
        return self._wait(self._client.skip(group, send_id))

    def groups(self, after: GroupId = "", limit: int = 100) -> ev.GroupList:
        return self._wait(self._client.groups(after, limit))

    def members(self, group: GroupId, after: UserId = "", limit: int = 100) -> ev.MemberList:
        return self._wait(self._client.members(group, after, limit))

    def history(
        self, group: GroupId, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> HistoryPage:
        return self._wait(self._client.history(group, after=after, before=before, limit=limit))

    def mark_read(self, group: GroupId, seq: int) -> None:
        async def mark() -> None:
            self._client.mark_read(group, seq)

        self._wait(mark())

    # Inside.

    async def _next(self, timeout_s: float | None) -> Received | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(self._client, None)
        except TimeoutError:
            return None

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise ClientError("the client is not connected: use `with`, or `connect`")
        result = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return result.result()
        except BaseException:
            # Interrupted while it waits: what was asked is not waited for any more.
            result.cancel()
            raise

    def _leave(self, leave: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._loop.is_closed():
            return
        try:
            if self._thread.is_alive():
                self._wait(leave())
        finally:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._loop.close()
