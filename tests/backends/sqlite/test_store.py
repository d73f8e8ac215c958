"""The SQLite store against the memory store, step by step; its promises are checked by tests/conformance."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.sqlite.store import SqliteStore, StoreInUse
from folkmoot.model.ids import group_id
from folkmoot.model.membership import Span
from folkmoot.model.send import SKIP, Send
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, MovedPointer, Store
from folkmoot.testing.store_suite import OTHER, OWNER, Author

NAMES = ("one", "two")
IDS = tuple("abcdef")


def test_one_process_writes(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        store = await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0)
        with pytest.raises(StoreInUse):
            await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0)
        await store.close()
        again = await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0)
        await again.close()

    asyncio.run(run())


class BothStores(RuleBasedStateMachine):
    """Whatever is asked of one is asked of the other, and they say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.lives = 0
        self.path = Path(self.folder.name) / "0" / "folkmoot.db"
        self.path.parent.mkdir()
        self.memory: Store = MemoryStore(Disk(), bucket_size=10_000)
        self.sqlite: Store = self.runner.run(self._open())
        self.states: dict[str, Author] = {}

    async def _open(self) -> Store:
        return await SqliteStore.open(self.path, clock=SystemClock(), reserve_bytes=0)

    def both(self, name: str, *sends: Send) -> None:
        """Write on the state that an author last saw, which may be stale; both stores answer alike."""

        async def write() -> None:
            author = self.states[name]
            request = author.write(*sends)
            answers: list[Any] = []
            for store in (self.memory, self.sqlite):
                try:
                    head = await store.append(request)
                except Conflict:
                    answers.append("conflict")
                else:
                    answers.append((head.epoch, head.writes, head.seq, head.hash, head.messages))
            assert answers[0] == answers[1]

        self.runner.run(write())

    @rule(name=st.sampled_from(NAMES), members=st.sets(st.sampled_from((OTHER, "user-3"))))
    def make(self, name: str, members: set[str]) -> None:
        author = self.states.setdefault(name, Author(self.memory, name))
        if author.state.head.seq == 0:
            body = {"name": name, "members": sorted(members)}
            self.both(name, author.a_send(name, kind="group.created", body=body, join=0))
            self.runner.run(author.refresh())

    @rule(
        name=st.sampled_from(NAMES), ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True),
        skip=st.booleans(), refresh=st.booleans(),
    )  # fmt: skip
    def write(self, name: str, ids: list[str], skip: bool, refresh: bool) -> None:
        author = self.states.get(name)
        if author is None or author.state.head.seq == 0:
            return
        kind = SKIP if skip else "message"
        self.both(name, *(author.a_send(i, kind=kind, body={"text": i}) for i in ids))
        if refresh:
            self.runner.run(author.refresh())

    @rule(name=st.sampled_from(NAMES), add=st.booleans(), send_id=st.sampled_from(IDS))
    def change_members(self, name: str, add: bool, send_id: str) -> None:
        author = self.states.get(name)
        if author is None or author.state.head.seq == 0:
            return
        self.runner.run(author.refresh())
        there = author.state.membership(OTHER) is not None
        if there == add:
            return
        kind, body = ("member.added", {"users": [OTHER]}) if add else ("member.removed", {"user": OTHER})
        self.both(name, author.a_send(send_id, kind=kind, body=body))
        self.runner.run(author.refresh())

    @rule(
        name=st.sampled_from(NAMES), user=st.sampled_from((OWNER, OTHER)), epoch=st.integers(1, 2),
        seq=st.integers(0, 9),
    )  # fmt: skip
    def point(self, name: str, user: str, epoch: int, seq: int) -> None:
        pointer = MovedPointer(group_id(OWNER, name), user, epoch, seq)
        for store in (self.memory, self.sqlite):
            self.runner.run(store.move_pointers([pointer, pointer]))

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = self.runner.run(self._open())

    @rule()
    def crash(self) -> None:
        """The process is gone: another finds the files as they are at this instant."""
        self.lives += 1
        folder = self.path.parent.with_name(str(self.lives))
        shutil.copytree(self.path.parent, folder)
        self.runner.run(self.sqlite.close())
        self.path = folder / self.path.name
        self.sqlite = self.runner.run(self._open())

    @invariant()
    def they_say_the_same(self) -> None:
        for name in NAMES:
            group = group_id(OWNER, name)
            said = [self.runner.run(self._all_of(store, group)) for store in (self.memory, self.sqlite)]
            assert said[0] == said[1]

    async def _all_of(self, store: Store, group: str) -> list[Any]:
        state, head = await store.state(group), await store.head(group)
        said: list[Any] = [state.name, dict(state.memberships), state.members_count, state.owners_count]
        said.append(None if head is None else (head.writes, head.seq, head.hash, head.messages))
        said.append(await store.outcomes(group, [(OWNER, i) for i in IDS]))
        said.append(await store.read(group, Span(1, None), entries_max=50, bytes_max=10**6))
        said.append(await store.read_back(group, Span(2, 4), entries_max=2, bytes_max=10**6))
        for user in (OWNER, OTHER):
            view = await store.view(group, user)
            said.append(None if view is None else (view.memberships, view.read, view.members_count))
            said.append(await store.groups_of(user, after="", rows_max=9))
        said.append(await store.members(group, after="", rows_max=9))
        said.append(await store.mark(group, 2))
        return said

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        self.folder.cleanup()


TestBothStores = BothStores.TestCase
TestBothStores.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
