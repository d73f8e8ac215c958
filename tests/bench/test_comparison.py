"""Rounds become medians, spreads and ratios within a round; what is added later stands beside what was there."""

import datetime

import msgspec

from folkmoot.bench.comparison import Comparison, Round, added, as_json, comparison_of, lines_of, spread_text
from folkmoot.bench.contenders import FLOOR, OURS, OWN, Contender, Missing
from folkmoot.bench.figures import Spread
from folkmoot.bench.machine import Machine
from folkmoot.bench.plan import Plan

MACHINE = Machine(
    processor="a processor", cores=2, memory_bytes=2**30, kernel="Linux 6", python="CPython 3.11", folkmoot="1",
    versions={}, open_files_max=20_000, file_system="ext4", load_average=0.1,
)  # fmt: skip
AT = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)


def turn(name: str, number: int, cost: float, *, rate_per_s: float = 500.0, saturated: str = "") -> Round:
    figures = {"deliveries_per_cpu_s": cost, "latency_ms_p50": 2.0}
    one = Round(scenario="fanout", contender=name, number=number, rate_per_s=rate_per_s, saturated=saturated)
    one.figures = {} if saturated else figures
    return one


def comparison(*rounds: Round, missing: list[Missing] | None = None) -> Comparison:
    other = Contender(name="other", about="another", stores="nothing at all", promises="little", version="other 7")
    contenders = [OWN[FLOOR], OWN[OURS], other]
    return comparison_of([Plan(scenario="fanout")], MACHINE, contenders, missing or [], rounds, at=AT)


def example() -> Comparison:
    return comparison(
        turn(OURS, 0, 90_000.0),
        turn("other", 0, 0.0, saturated="it reached 5 of 10"),
        turn("other", 0, 45_000.0, rate_per_s=250.0),
        turn(OURS, 1, 120_000.0),
        turn("other", 1, 40_000.0, rate_per_s=250.0),
    )


def test_ratios_are_within_a_round() -> None:
    whole = example()
    assert whole.names("fanout") == [OURS, "other"]
    assert whole.figures("fanout", OURS)["deliveries_per_cpu_s"] == Spread(105_000.0, 90_000.0, 120_000.0)
    assert whole.ratio("fanout", "other", "deliveries_per_cpu_s") == Spread(2.5, 2.0, 3.0)
    assert whole.ratio("fanout", OURS, "deliveries_per_cpu_s") is None
    assert whole.ratio("fanout", FLOOR, "deliveries_per_cpu_s") is None
    assert whole.rate_per_s("fanout", "other") == 250.0
    assert whole.saturated("fanout", "other") == ["500 messages a second: it reached 5 of 10"]
    assert not whole.refused


def test_a_turn_without_a_result_or_one_who_is_missing_is_not_passed_over() -> None:
    refused = turn(OURS, 0, 1.0)
    refused.refusals = ["the load was late"]
    assert comparison(refused).refused
    lost = comparison(turn(OURS, 0, 1.0), missing=[Missing("other", "go: not on this machine")])
    assert lost.refused
    assert "MISSING: other: go: not on this machine" in lines_of(lost)
    assert any("NO RESULT of folkmoot, round 1: the load was late" in line for line in lines_of(comparison(refused)))


def test_a_table_says_what_each_costs_and_promises() -> None:
    text = "\n".join(lines_of(example()))
    assert "2.50 (2.00 to 3.00)" in text
    assert "saturated at 500 messages a second: it reached 5 of 10" in text
    assert "stores nothing at all" in text
    assert "other 7" in text
    assert spread_text(None) == ""


def test_later_rounds_come_after_those_there_are() -> None:
    both = added(example(), comparison(turn(OURS, 0, 60_000.0), turn("other", 0, 60_000.0, rate_per_s=250.0)))
    assert [one.number for one in both.rounds] == [0, 0, 0, 1, 1, 2, 2]
    assert both.ratio("fanout", "other", "deliveries_per_cpu_s") == Spread(2.0, 1.0, 3.0)
    assert len(both.contenders) == 3
    assert [plan.scenario for plan in both.plans] == ["fanout"]


def test_it_is_read_back_as_it_was_written() -> None:
    assert msgspec.json.decode(as_json(example()), type=Comparison) == example()
