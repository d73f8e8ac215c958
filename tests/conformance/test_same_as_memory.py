"""Whatever is written to a store and read from it, it does and shows what the one in memory does and shows."""

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from folkmoot.backends.cassandra.driver import CassandraSettings
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.model.membership import Span
from folkmoot.model.send import SKIP
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, MovedPointer, Store, Write
from folkmoot.testing.store_suite import BIG, OWNER, Author

T = TypeVar("T")
USERS = (OWNER, "user-2", "user-3")
BUCKET_SIZE = 8
_RUNS = itertools.count()

users, ids = st.sampled_from(USERS), st.integers(0, 14).map(lambda n: f"s{n}")


class SameAsMemory(RuleBasedStateMachine):
    """Two authors with views of their own write to one group, and every write goes to both stores."""

    open_other: Callable[[], Coroutine[Any, Any, Store]]

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._disk = Disk()
        self.memory: Store = MemoryStore(self._disk, bucket_size=BUCKET_SIZE)
        self.other: Store = self._wait(type(self).open_other())
        name = f"run{next(_RUNS)}"
        self.authors = [Author(self.memory, name) for _ in range(2)]
        self.group = self.authors[0].group
        made = self.authors[0]
        made.state = self._wait(self.memory.state(self.group))
        body = {"name": "g", "members": ["user-2"]}
        self._append(made, made.write(made.a_send(name, kind="group.created", body=body, join=0)))
        self.authors[1].state = made.state

    @rule(which=st.integers(0, 1), sender=users, send_ids=st.lists(ids, min_size=1, max_size=4, unique=True))
    def say(self, which: int, sender: str, send_ids: list[str]) -> None:
        author = self.authors[which]
        if author.state.membership(sender) is not None:
            room = author.state.head.room
            self._ask(author, *(author.a_send(i, sender=sender, body={"text": i}) for i in send_ids[:room]))

    @rule(which=st.integers(0, 1), sender=users, send_id=ids)
    def give_up(self, which: int, sender: str, send_id: str) -> None:
        if self.authors[which].state.membership(sender) is not None:
            self._ask(self.authors[which], self.authors[which].a_send(send_id, sender=sender, kind=SKIP))

    @rule(which=st.integers(0, 1), send_id=ids, user=users, removed=st.booleans())
    def change_members(self, which: int, send_id: str, user: str, removed: bool) -> None:
        author = self.authors[which]
        body: dict[str, Any] = {"user": user} if removed else {"users": [user]}
        self._ask(author, author.a_send(send_id, kind="member.removed" if removed else "member.added", body=body))

    @rule(user=users, seq=st.integers(0, 30))
    def read_up_to(self, user: str, seq: int) -> None:
        for store in (self.memory, self.other):
            self._wait(store.move_pointers([MovedPointer(self.group, user, 1, seq)]))

    @rule(which=st.integers(0, 1))
    def look_again(self, which: int) -> None:
        self.authors[which].state = self._wait(self.memory.state(self.group))

    @rule()
    def crash(self) -> None:
        self._wait(self.other.close())
        self.other = self._wait(type(self).open_other())
        self.memory = MemoryStore(self._disk, bucket_size=BUCKET_SIZE)

    @invariant()
    def both_show_the_same(self) -> None:
        one, two = (self._wait(self._shown(store)) for store in (self.memory, self.other))
        assert one == two

    def teardown(self) -> None:
        self._wait(self.other.close())
        self._loop.close()

    def _ask(self, author: Author, *sends: Any) -> None:
        # Rooms differ: a file has no buckets, and the first of Cassandra's is one entry shorter.
        here = self._wait(self.other.head(self.group))
        assert here is not None
        room = min(author.state.head.room, here.room) if here.seq == author.state.head.seq else 1
        try:
            write = author.write(*sends[:room])
        except AssertionError:
            # Nothing to store: a rule of the group forbids it for good, or it is decided elsewhere.
            return
        self._append(author, write)

    def _append(self, author: Author, write: Write) -> None:
        answers = []
        for store in (self.memory, self.other):
            expected = msgspec.structs.replace(write.expected, room=len(write.entries) or 1)
            try:
                head = self._wait(store.append(msgspec.structs.replace(write, expected=expected)))
                answers.append((head.epoch, head.writes, head.seq, head.hash, head.messages))
                state = msgspec.structs.replace(write.after, head=head)
            except Conflict:
                answers.append((0, 0, 0, b"", 0))
                state = author.state
            if store is self.memory:
                after = state
        assert answers[0] == answers[1]
        author.state = after

    async def _shown(self, store: Store) -> list[Any]:
        group = self.group
        state = await store.state(group)
        shown: list[Any] = [_plain(state.head), msgspec.structs.replace(state, head=None, memberships={})]
        shown += [dict(state.memberships), await store.last_times([group])]
        for user in USERS:
            view = await store.view(group, user)
            assert view is not None
            shown += [_plain(view.head), msgspec.structs.replace(view, head=None)]
            groups = await store.groups_of(user, after="", rows_max=100)
            shown.append(group in groups)
        shown.append(await store.members(group, after="", rows_max=9))
        keys = [(user, f"s{n}") for user in USERS for n in range(15)]
        shown.append(await store.outcomes(group, keys))
        for span in (Span(1, None), Span(3, 11), Span(9, 8)):
            shown.append(await store.read(group, span, entries_max=BIG, bytes_max=BIG))
            shown.append(await store.read_back(group, span, entries_max=5, bytes_max=BIG))
        shown += [await store.mark(group, seq) for seq in (0, 1, 7, 8, 9, 40)]
        return shown

    def _wait(self, waited: Awaitable[T]) -> T:
        return self._loop.run(_result_of(waited))


async def _result_of(waited: Awaitable[T]) -> T:
    return await waited


def _plain(head: Any) -> Any:
    return msgspec.structs.replace(head, room=0)


def _machine(opened: Callable[[], Coroutine[Any, Any, Store]]) -> type[SameAsMemory]:
    return type("Machine", (SameAsMemory,), {"open_other": staticmethod(opened)})


def test_a_file_is_the_same_as_memory() -> None:
    with tempfile.TemporaryDirectory() as folder:

        async def opened() -> Store:
            return await SqliteStore.open(Path(folder) / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)

        run_state_machine_as_test(
            _machine(opened),
            settings=settings(
                max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


@pytest.mark.cassandra
def test_cassandra_is_the_same_as_memory(keyspace: Callable[[int], CassandraSettings]) -> None:
    made = keyspace(BUCKET_SIZE)

    async def opened() -> Store:
        return await CassandraStore.open(made)

    run_state_machine_as_test(
        _machine(opened),
        settings=settings(
            max_examples=6, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
