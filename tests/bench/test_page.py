"""The page needs nothing but itself, and draws what was measured."""

import xml.etree.ElementTree as ElementTree

from folkmoot.bench.figures import Spread
from folkmoot.bench.machine import Machine
from folkmoot.bench.page import HEIGHT, WIDTH, page_of, plot_of
from folkmoot.bench.plan import Plan, Target
from folkmoot.bench.report import Report
from folkmoot.bench.run import Run


def report(**what: object) -> Report:
    facts = Machine(
        processor="a <processor>", cores=2, memory_bytes=2**33, kernel="Linux 6", python="CPython 3.11", folkmoot="1",
        versions={"uvloop": "1"}, open_files_max=20_000, file_system="ext4", load_average=0.1,
    )  # fmt: skip
    line = [(0.1, 1.0), (0.5, 10.0), (0.99, 100.0)]
    run = Run(series={"server_latency": line, "floor_latency": line, "server_by_second": [(0.0, 5.0), (1.0, 7.0)]})
    return Report(
        scenario="fanout", at="now", plan=Plan(scenario="fanout"), machine=facts, runs=[run],
        figures={"latency_ms_p50": Spread(1.5, 1.0, 2.0)}, targets=[Target("0.60 of the floor", False)],
        warnings=["a <note>"],
    )  # fmt: skip


def test_a_page_has_figures_targets_facts_and_plots() -> None:
    page = page_of([report()])
    assert "<td>end to end, ms, median</td>" in page
    assert "missed: 0.60 of the floor" in page
    assert "a &lt;processor&gt;" in page
    assert "a &lt;note&gt;" in page
    assert page.count("<svg") == 2
    for outside in ("http", "src=", "<script", "@import"):
        assert outside not in page


def test_a_run_without_a_result_is_told_and_not_drawn() -> None:
    whole = report()
    whole.runs[0].refusals.append("the load was <saturated>")
    page = page_of([whole])
    assert "no result of run 1: the load was &lt;saturated&gt;" in page
    assert "<svg" not in page


def test_points_are_drawn_within_the_plot_and_upwards() -> None:
    svg = plot_of(
        "times", {"a": [(0.0, 1.0), (1.0, 10.0), (2.0, 100.0)], "b": [(0.0, 1.0)]}, x="x", y="ms", by_log=True
    )
    lines = ElementTree.fromstring(svg).findall("polyline")
    points = [tuple(map(float, pair.split(","))) for pair in lines[0].attrib["points"].split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2
    # By the log, the tenfold is the same step everywhere; up is less y.
    assert round(y0 - y1, 1) == round(y1 - y2, 1) > 0


def test_one_value_all_the_way_is_drawn_too() -> None:
    for by_log in (True, False):
        ElementTree.fromstring(plot_of("flat", {"a": [(0.0, 5.0), (1.0, 5.0)]}, x="x", y="y", by_log=by_log))
    ElementTree.fromstring(plot_of("zero", {"a": [(0.0, 0.0)]}, x="x", y="y", by_log=True))


def test_nothing_to_draw_is_nothing() -> None:
    assert plot_of("none", {}, x="x", y="y") == ""
