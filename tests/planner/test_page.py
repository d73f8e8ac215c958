"""The page needs nothing else, and its JavaScript reckons what Python does, to the last digit."""

import json
import shutil
import subprocess
from typing import Any

import msgspec
import pytest

from folkmoot.planner.answer import Answer, answer_of, known_of
from folkmoot.planner.capacity import MACHINES, planned
from folkmoot.planner.demand import USERS
from folkmoot.planner.measurements import Measured
from folkmoot.planner.page import page_of, script_of

DEFAULTS = {one.name: float(one.default) for one in (*USERS, *MACHINES)}
SEED = DEFAULTS | {"users": 10e6}
GIVEN = [
    SEED,
    DEFAULTS | {"users": 1.0, "read_share": 0.0},
    SEED | {"users": 1e9, "group_size": 7.0, "headroom": 0.5, "keep_days": 30.0, "online_share": 0.25},
    SEED | {"users": 50_000.0, "group_size": 100_000.0, "machine_network_gbit": 0.1, "spare_machines": 2.0},
]
ENDS = ("median", "best", "worst")


@pytest.fixture
def answer(measured: dict[str, Measured]) -> Answer:
    return answer_of(SEED, measured)


@pytest.mark.skipif(shutil.which("node") is None, reason="NO NODE HERE: the page's JavaScript was not compared")
def test_javascript_comes_to_the_same(answer: Answer) -> None:
    asked = f"const ALL = {json.dumps(GIVEN)}; const ENDS = {json.dumps(ENDS)};"
    told = "console.log(JSON.stringify(ALL.map((given) => ENDS.map((end) => answer(given, costsAt(end))))));"
    script = f"{script_of(answer)}\n{asked}\n{told}"
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for given, by_end in zip(GIVEN, said, strict=True):
        whole = answer_of(given, answer.measured)
        expected = [(whole.values, whole.machines), (whole.low, whole.machines_low), (whole.high, whole.machines_high)]
        for (values, machines), there in zip(expected, by_end, strict=True):
            assert there["values"] == pytest.approx(values, rel=1e-12)
            for one, other in zip(machines, there["machines"], strict=True):
                assert (one.kind, one.count, one.by) == (other["kind"], other["count"], other["by"])
                assert other["of"] == pytest.approx(one.of, rel=1e-12)
                assert other["cores"] == pytest.approx(one.cores, rel=1e-12)


def test_the_page_fetches_nothing(answer: Answer) -> None:
    page = page_of(answer)
    assert page.startswith("<!doctype html>")
    for word in ("src=", "href=", "@import", "url(", "http:", "https:", "fetch("):
        assert word not in page


def test_what_was_measured_cannot_end_the_script(measured: dict[str, Measured]) -> None:
    told = {name: msgspec.structs.replace(one, processor="</script><b>") for name, one in measured.items()}
    page = page_of(answer_of(SEED, told))
    assert page.count("</script>") == 1
    assert "<b>" not in page


def test_the_page_has_the_numbers_it_began_with(answer: Answer) -> None:
    line = script_of(answer).partition("\n")[0]
    plan: dict[str, Any] = json.loads(line.removeprefix("const PLAN = ").removesuffix(";"))
    assert {one["name"]: one["value"] for one in plan["given"]} == SEED
    known = known_of(SEED, {one["name"]: one["median"] for one in plan["measured"]})
    assert planned(known)[0]["cores_whole"] == 8
