"""The page of a comparison holds its figures, and nothing that a name could break."""

import datetime

from folkmoot.bench.comparison import Comparison, Round, comparison_of
from folkmoot.bench.comparison_page import bars_of, page_of
from folkmoot.bench.contenders import OURS, OWN, Contender, Missing
from folkmoot.bench.machine import Machine
from folkmoot.bench.plan import Plan


def comparison(rounds: list[Round], missing: list[Missing]) -> Comparison:
    machine = Machine(
        processor="a processor", cores=2, memory_bytes=2**30, kernel="Linux 6", python="CPython 3.11", folkmoot="1",
        versions={}, open_files_max=20_000, file_system="ext4", load_average=0.1,
    )  # fmt: skip
    contenders = [OWN[OURS], Contender(name="other", about="another", stores="nothing", promises="little")]
    at = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    return comparison_of([Plan(scenario="fanout")], machine, contenders, missing, rounds, at=at)


def turn(name: str, number: int, cost: float) -> Round:
    figures = {"deliveries_per_cpu_s": cost}
    return Round(scenario="fanout", contender=name, number=number, rate_per_s=500.0, figures=figures)


def test_the_page_has_tables_bars_and_what_was_too_much() -> None:
    too_much = Round(scenario="fanout", contender="other", number=0, rate_per_s=1_000.0, saturated="it reached 5 of 10")
    costs = {0: (90_000.0, 45_000.0), 1: (120_000.0, 40_000.0)}
    rounds = [
        turn(name, n, cost) for n, both in costs.items() for name, cost in zip((OURS, "other"), both, strict=True)
    ]
    page = page_of(comparison([too_much, *rounds], []))
    assert page.startswith("<!doctype html>")
    assert "2.50 (2.00 to 3.00)" in page
    assert "other is saturated at 1000 messages a second" in page
    assert 'title="90,000 to 120,000"' in page
    assert "<svg role" in page
    assert "http" not in page


def test_what_is_said_is_escaped() -> None:
    refused = turn(OURS, 0, 1.0)
    refused.refusals = ["<late>"]
    page = page_of(comparison([refused], [Missing("other", "<gone>")]))
    assert "&lt;late&gt;" in page
    assert "&lt;gone&gt;" in page


def test_bars_are_in_proportion() -> None:
    svg = bars_of("cost", {"one": 100.0, "other": 50.0})
    assert 'width="420.0"' in svg
    assert 'width="210.0"' in svg
    assert bars_of("cost", {}) == ""
