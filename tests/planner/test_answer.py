"""An answer has error bars from the runs, says what it took for granted, and prints what it reckoned."""

from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.planner.answer import Answer, answer_of, as_json, plain, shown, with_numbers
from folkmoot.planner.capacity import MACHINES
from folkmoot.planner.demand import USERS
from folkmoot.planner.formula import Step
from folkmoot.planner.measurements import Measured, Result, measured_of, results_in

GIVEN = {one.name: float(one.default) for one in (*USERS, *MACHINES)} | {"users": 10e6}


def test_the_plain_sum_is_the_seeds() -> None:
    steps, values = plain(GIVEN | {"per_server": 1_000.0})
    assert [shown(values[step.name], step.unit) for step in steps] == [
        "200,000,000 a day",
        "20,000,000 in the peak",
        "5,556 a second",
        "722,222 a second",
        "722.2 servers",
        "723 servers",
    ]
    assert with_numbers(steps[2], values) == "20,000,000 / (1 x 3600)"


def test_error_bars_are_the_spread_of_the_runs(measured: dict[str, Measured]) -> None:
    answer = answer_of(GIVEN, measured)
    assert (answer.low["cores_whole"], answer.values["cores_whole"], answer.high["cores_whole"]) == (6, 8, 10)
    assert answer.low["fanout_cores"] < answer.values["fanout_cores"] < answer.high["fanout_cores"]
    assert answer.low["sends_per_s"] == answer.high["sends_per_s"]
    said = as_json(answer)
    (fanout,) = [step for step in said["steps"] if step["name"] == "fanout_cores"]
    assert fanout["low"] < fanout["value"] < fanout["high"]
    assert fanout["formula"] == "deliveries_online_per_s * delivery_us / 1000000"
    assert [one["kind"] for one in said["machines"]] == ["gateways", "routers", "bus", "store"]
    assert all(one["count_low"] <= one["count"] <= one["count_high"] for one in said["machines"])


def test_it_says_what_it_extrapolates(results: Callable[..., list[Result]], measured: dict[str, Measured]) -> None:
    whole = answer_of(GIVEN, measured).notes
    assert any("over loopback" in note for note in whole)
    assert "measured on a processor, 2 cores" in whole
    assert "one run only, so without an error bar: bench idle (13,000 sockets, 130 a group)" in whole
    little = answer_of(GIVEN, measured_of(results("fanout"))).notes
    assert any("counted twice" in note for note in little)
    assert (
        "not measured, and left out, with all that builds on it: memory of a connection (folkmoot bench idle)" in little
    )
    assert (
        "not measured, and counted as nothing: a read pointer that moves, beside the store (folkmoot bench pointers)"
        in little
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "", "0.123"), (5.0, "cores", "5 cores"), (12.345, "", "12.3"), (722.22, "", "722.2"),
        (5_555.6, "", "5,556"), (999.0, "bytes", "999 bytes"), (8e10, "bytes", "80.0 GB"),
        (2.69e9, "bit/s", "2.7 Gbit/s"),
        (1e26, "bytes", "100,000,000.0 EB"), (0.0, "", "0"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_mean_something(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_names_are_replaced_whole() -> None:
    step = Step("c", "ceil(a * ab)", "", "")
    assert with_numbers(step, {"a": 1.0, "ab": 2_000.0}) == "ceil(1 x 2,000)"


def test_an_answer_is_the_same_again(measured: dict[str, Measured]) -> None:
    first: Answer = answer_of(GIVEN, measured)
    assert first == answer_of(GIVEN, measured)


def test_the_count_that_the_pages_tell_is_what_the_kept_runs_come_to() -> None:
    root = Path(__file__).parents[2]
    kept = measured_of(results_in((root / "bench" / "measurements" / "planner.json").read_bytes(), "planner.json"))
    answer = answer_of(GIVEN, kept)
    low, high = sorted((answer.low["cores"], answer.high["cores"]))
    told = f"{shown(answer.values['cores'])} ({shown(low)} to {shown(high)}), so {answer.values['cores_whole']:.0f}"
    assert f"**{told}**" in (root / "docs" / "performance.md").read_text()
