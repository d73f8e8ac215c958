"""A store is filled once for all starts from it, and what of it is in memory is forgotten before each."""

from pathlib import Path

from folkmoot.bench.plan import Plan
from folkmoot.bench.scenarios import Bench
from folkmoot.bench.starts import forget_cached


def test_a_store_of_many_groups_is_filled_once(tmp_path: Path) -> None:
    plan = Plan(scenario="start", groups_stored=300, members=2)
    said: list[str] = []
    with Bench(tmp_path, said.append) as bench:
        first, second = bench.run(plan), bench.run(plan)
    assert said == ["filling a store with 300 groups"]
    for run in (first, second):
        assert 0 < run.figures["ready_s"] < 60
        assert run.figures["store_bytes"] > 300 * 180


def test_forgetting_what_is_cached_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"a" * 10_000)
    forget_cached(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"a" * 10_000
