"""Routers that all write to the same groups on a Cassandra in memory: nothing is wrong, and planted bugs are found.

Each seed is one run, the same in every process. `FOLKMOOT_CASSANDRA_SEEDS` says how many the test runs. As a program it
runs the seeds from the first number up to the second, and prints those that fail:

    .venv/bin/python tests/testing/test_cassandra_contest.py 1000 9000
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from folkmoot.backends.cassandra import append, log, rows
from folkmoot.backends.cassandra.append import Appends
from folkmoot.backends.cassandra.driver import Statement
from folkmoot.backends.cassandra.outcomes import Outcomes
from folkmoot.backends.cassandra.pointers import Pointers
from folkmoot.backends.cassandra.projections import Projections
from folkmoot.model.group import GroupState
from folkmoot.model.send import SendKey
from folkmoot.ports.store import Write
from folkmoot.testing.cassandra_contest import Run, failures

SEEDS: Final = int(os.environ.get("FOLKMOOT_CASSANDRA_SEEDS", "200"))
SEEDS_PLANTED_MAX: Final = 600
"""A bug that is not found in so many is a hole in what the writers do."""


@pytest.mark.timeout(max(120, SEEDS))
def test_whatever_becomes_of_statements_what_was_answered_is_what_is_in_the_log() -> None:
    assert [(seed, wrong[:3]) for seed, wrong in failures(range(SEEDS))] == []


Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
PLANTED: dict[str, tuple[int, Plant]] = {}
"""Bugs that were there once, or might be, by what they are: a seed by which to begin to look, and how it is planted."""


def planted(name: str, first: int = 0) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTED[name] = (first, plant)
        return plant

    return keep


@planted("a refusal that another stored along with an entry is taken for one's own", first=91)
def _(patch: Patch) -> None:
    is_ours, batch = Appends._is_ours, Appends._batch

    async def by_their_outcomes(self: Any, write: Write, row: Any, found: Any) -> bool:
        if write.entries:
            return await is_ours(self, write, row, found)
        return bool(found == {key: (None, code) for key, code in write.refusals.items()})

    def without_hash(self: Any, write: Write, bucket: int, changed: int) -> list[Statement]:
        (cql, values), *others = batch(self, write, bucket, changed)
        return [(cql.removesuffix(" AND hash = ?"), values[:-1]), *others]

    patch.setattr(Appends, "_is_ours", by_their_outcomes)
    patch.setattr(Appends, "_batch", without_hash)


@planted("a write is taken for one's own by its outcomes alone")
def _(patch: Patch) -> None:
    async def by_their_outcomes(self: Any, write: Write, row: Any, found: Any) -> bool:
        told = {(e.sender, e.send_id): (e.seq, None) for e in write.entries}
        return bool(found == told | {key: (None, code) for key, code in write.refusals.items()})

    patch.setattr(Appends, "_is_ours", by_their_outcomes)


@planted("a time-out is read as: it happened")
def _(patch: Patch) -> None:
    async def happened(self: Any, write: Write, bucket: int, keys: Any) -> bool:
        return True

    patch.setattr(Appends, "_happened", happened)


@planted("outcomes of older buckets are not looked at")
def _(patch: Patch) -> None:
    async def none(self: Any, group: str, bucket: int, keys: Any) -> dict[SendKey, Any]:
        return {}

    patch.setattr(Outcomes, "older", none)


@planted("a full bucket is not indexed")
def _(patch: Patch) -> None:
    patch.setattr(Outcomes, "index", _nothing)


@planted("an outcome is written whatever there was")
def _(patch: Patch) -> None:
    for name in ("PUT_APPENDED", "PUT_REFUSED"):
        patch.setattr(append, name, getattr(rows, name).removesuffix(" IF NOT EXISTS"))


@planted("outcomes are looked up before the last write is finished", first=131)
def _(patch: Patch) -> None:
    async def plainly(self: Any, group: str, bucket: int, keys: Any) -> Any:
        return await self._in_bucket(group, bucket, keys)

    patch.setattr(Outcomes, "_in_newest", plainly)


@planted("a page with a gap is taken for whole", first=41)
def _(patch: Patch) -> None:
    patch.setattr(log, "_whole", lambda rows, first, seen: True)


@planted("an append is conditional on its outcomes alone")
def _(patch: Patch) -> None:
    batch = Appends._batch

    def without_head(self: Any, write: Write, bucket: int, changed: int) -> list[Statement]:
        (cql, values), *others = batch(self, write, bucket, changed)
        return [(cql[: cql.index(" IF ")], values[:-3]), *others]

    patch.setattr(Appends, "_batch", without_head)


@planted("a head is told with room beyond its bucket")
def _(patch: Patch) -> None:
    for module in (append, rows):
        patch.setattr(module, "room_after", lambda seq, bucket_size: bucket_size)


@planted("a projection that is behind is believed")
def _(patch: Patch) -> None:
    async def as_it_is(self: Any, state: GroupState, applied: int, row: Any) -> GroupState:
        return state

    patch.setattr(Projections, "_bring_on", as_it_is)


@planted("a bucket is opened without keeping how far its senders have read")
def _(patch: Patch) -> None:
    patch.setattr(Pointers, "take_over", _nothing)


async def _nothing(*_: object) -> None: ...


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: Patch) -> None:
    first, plant = PLANTED[name]
    plant(monkeypatch)
    assert next(failures(range(first, first + SEEDS_PLANTED_MAX)), None) is not None


def test_a_seed_is_one_run_whatever_the_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, __file__, "3", "6", "all"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(set(told[0])) == 3


if __name__ == "__main__":
    for asked in range(int(sys.argv[1]), int(sys.argv[2])):
        run = Run(asked)
        laws = run.violations()
        if laws or sys.argv[3:] == ["all"]:
            print(asked, run.digest(), *laws[:5], sep="\n  " if laws else " ", flush=True)
