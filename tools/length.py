"""What the length of a log costs: an append, a retry of the oldest send, and a page from the middle, at three lengths.

`python tools/length.py --dir DIR` measures a file of SQLite; with `--cassandra HOST:PORT`, a node that runs (`folkmoot
cluster up` starts one, `status` says where), a keyspace there. What was filled in is kept, and found by the next run.
All lengths are measured in turn, call by call, so that whatever else the machine does is the same for each.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.bench.figures import quantile
from folkmoot.model.entry import CREATED, MESSAGE, SALT_BYTES
from folkmoot.model.group import GroupState
from folkmoot.model.ids import GroupId, group_id
from folkmoot.model.membership import Span
from folkmoot.model.send import Send
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.store import Store
from folkmoot.router.batch import Rules, decide_batch

LENGTHS: Final = "1000,100000,1000000"
USERS: Final = ("user-1", "user-2")
BATCH_ENTRIES: Final = 250
PAGE_ENTRIES: Final = 50
PAGE_BYTES: Final = 1_048_576
SAY_EVERY: Final = 100_000


def named(length: int) -> str:
    """The send id of the group's creation."""
    return f"long-{length}"


def send_of(group: GroupId, length: int, number: int) -> Send:
    """The send that becomes entry `number` of the group that is measured at `length`."""
    if number == 1:
        kind, join = CREATED, 0
        body: object = {"name": "long", "members": [USERS[1]], "history": "all", "entry": "invite"}
    else:
        kind, join, body = MESSAGE, 1, {"text": f"{number} ".ljust(180, "x")}
    sender = USERS[0] if number == 1 else USERS[number % 2]
    return Send(
        group=group,
        sender=sender,
        device="",
        send_id=named(length) if number == 1 else f"send-{number}",
        join=join,
        after=None,
        kind=kind,
        body=msgspec.json.encode(body),
    )


async def appended(store: Store, state: GroupState, sends: Sequence[Send]) -> GroupState:
    """The state after the first of `sends`, as many as there is room for: decided and stored as a router does."""
    chance = SystemChance()
    rules = Rules(
        now_ms=SystemClock().wall_ms(),
        members_max=100,
        full=False,
        refusals_left=lambda _: 0,
        salt=lambda: chance.token(SALT_BYTES),
    )
    batch = decide_batch(state, sends, {}, rules)
    if batch.write is None or not batch.only_appends:
        raise RuntimeError(f"not taken: {[ruling.answer for ruling in batch.rulings][:3]}")
    head = await store.append(batch.write)
    return msgspec.structs.replace(batch.write.after, head=head)


async def filled(store: Store, group: GroupId, entries: int) -> GroupState:
    """The group's state once it has at least so many entries."""
    state = await store.state(group)
    said = state.head.seq
    while state.head.seq < entries:
        first = state.head.seq + 1
        numbers = range(first, min(first + BATCH_ENTRIES, entries + 1))
        state = await appended(store, state, [send_of(group, entries, number) for number in numbers])
        if state.head.seq - said >= SAY_EVERY:
            said = state.head.seq
            print(f"{group}: {said:,} entries", flush=True)
    return state


async def timed(call: Awaitable[object]) -> float:
    """How long it took, in ms."""
    began_s = time.perf_counter()
    await call
    return (time.perf_counter() - began_s) * 1_000


async def measured(store: Store, lengths: Sequence[int], rounds: int) -> None:
    """Fill what is missing, measure, and print."""
    groups = {length: group_id(USERS[0], named(length)) for length in lengths}
    states = dict(zip(lengths, await asyncio.gather(*(filled(store, groups[n], n) for n in lengths)), strict=True))
    times: dict[tuple[str, int], list[float]] = {}
    chance = random.Random(1)
    for _ in range(rounds):
        for length in chance.sample(list(lengths), len(lengths)):
            group, state = groups[length], states[length]

            async def append(group: GroupId = group, state: GroupState = state, length: int = length) -> None:
                states[length] = await appended(store, state, [send_of(group, length, state.head.seq + 1)])

            async def retry(group: GroupId = group) -> None:
                if len(await store.outcomes(group, [(USERS[0], "send-2")])) != 1:
                    raise RuntimeError("the oldest message has no outcome")

            async def page(
                group: GroupId = group, first: int = length // 2 + chance.randrange(-length // 4, length // 4)
            ) -> None:
                span = Span(first, None)
                found = await store.read(group, span, entries_max=PAGE_ENTRIES, bytes_max=PAGE_BYTES)
                if [entry.seq for entry in found] != list(range(first, first + PAGE_ENTRIES)):
                    raise RuntimeError("the page is not whole")

            for name, call in (("append", append), ("retry", retry), ("page", page)):
                times.setdefault((name, length), []).append(await timed(call()))
    for (name, length), found in sorted(times.items()):
        least, most = quantile(found, 0.5), quantile(found, 0.99)
        print(f"{name:8} {length:>10,} entries: p50 {least:7.3f} ms, p99 {most:8.3f} ms")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", default=LENGTHS, help="entries, with commas between")
    parser.add_argument("--rounds", type=int, default=500, help="calls of each kind at each length")
    parser.add_argument("--dir", type=Path, help="where the file of SQLite is, or is made")
    parser.add_argument("--cassandra", help="HOST:PORT of a node: the keyspace folkmoot_length there")
    given = parser.parse_args()
    lengths = [int(length) for length in given.lengths.split(",")]
    if given.dir is not None:
        given.dir.mkdir(parents=True, exist_ok=True)
        store = await SqliteStore.open(given.dir / "folkmoot.db", clock=SystemClock())
        print(f"SQLite, load {os.getloadavg()[0]:.1f}")
        await measured(store, lengths, given.rounds)
        await store.close()
    if given.cassandra:
        from folkmoot.backends.cassandra.driver import CassandraSettings
        from folkmoot.backends.cassandra.migrate import migrate
        from folkmoot.backends.cassandra.store import CassandraStore

        host, _, port = given.cassandra.rpartition(":")
        where = CassandraSettings(
            hosts=[host], port=int(port), keyspace="folkmoot_length", datacenter="datacenter1", replication=1
        )
        await migrate(where)
        node = await CassandraStore.open(where)
        print(f"Cassandra, load {os.getloadavg()[0]:.1f}")
        await measured(node, lengths, given.rounds)
        await node.close()


if __name__ == "__main__":
    asyncio.run(main())
