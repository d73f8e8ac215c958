"""`folkmoot check simulate`: sums, replays, pages of failures, and options that make no sense."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from folkmoot.testing.plan import small_plan

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_some_seeds_are_run_and_summed_up(shell: "Shell") -> None:
    done = shell.run("check", "simulate", "--seeds", "6", "--start", "70", "--jobs", "1", "--json")
    report = json.loads(done.out)
    assert done.status == 0
    assert (report["runs"], report["first_seed"], report["clean"]) == (6, 70, True)


def test_one_seed_is_run_again(shell: "Shell") -> None:
    done = shell.run("check", "simulate", "--seed", "71", "--workload", "sends")
    assert done.status == 0
    assert "sends, seed 71" in done.out
    assert "clean" in done.out


def test_a_failure_is_explained_and_leaves_a_page_and_a_plan(shell: "Shell", tmp_path: Path) -> None:
    plan = msgspec.structs.replace(small_plan(), lasts_s=1.0005, heal_s_max=0.0)
    there = tmp_path / "plan.json"
    there.write_bytes(msgspec.json.encode(plan))
    done = shell.run("check", "simulate", "--plan", str(there), "--report-dir", str(tmp_path))
    assert done.status == 1
    assert "stuck" in done.out
    assert (tmp_path / "folkmoot-small-1.html").exists()
    kept = shell.run("check", "simulate", "--plan", str(tmp_path / "folkmoot-small-1.json"), "--json")
    assert kept.status == 1
    assert json.loads(kept.out)["violations"][0]["law"] == "stuck"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workload", "none"], "no workload 'none'"),
        (["--faults", "gremlins"], "no fault 'gremlins'"),
        (["--seed", "1"], "say which with --workload"),
        (["--seed", "1", "--seeds", "2", "--workload", "sends"], "leave --seeds out"),
        (["--seeds", "1", "--minutes", "2"], "not both"),
        (["--plan", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_makes_no_sense_is_said(shell: "Shell", options: list[str], said: str) -> None:
    done = shell.run("check", "simulate", *options)
    assert done.status == 2
    assert said in done.err
