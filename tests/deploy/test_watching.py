"""The dashboard and the alert rules: they parse, ask only for what is measured, and ask for each kind as one must."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import promql_parser as promql
import pytest

from folkmoot.telemetry.metrics import MEASURES

DEPLOY = Path(__file__).parents[2] / "deploy"
PROCESS = {
    "up": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_max_fds": "gauge",
    "process_open_fds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
}
KINDS = PROCESS | {series: measure.kind for measure in MEASURES for series in measure.series}
LABELS = {"instance", "job", "le"} | {measure.label for measure in MEASURES if measure.label}
OF_COUNTERS = {"rate", "increase"}


def rules() -> list[dict[str, Any]]:
    groups = msgspec.yaml.decode((DEPLOY / "prometheus" / "alerts.yml").read_bytes())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana" / "folkmoot.json").read_text())


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and the expression, with an interval where Grafana puts one."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "5m")


EXPRESSIONS = dict(expressions())


def faults_of(expression: str) -> list[str]:
    """What is wrong with an expression: its syntax or types, metrics that are not there, counters taken for gauges."""
    try:
        parsed = promql.parse(expression)
    except ValueError as error:
        return [str(error)]
    faults: list[str] = []
    ranged: set[str] = set()

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.Call):
            for given in part.args:
                if isinstance(given, promql.MatrixSelector):
                    name = str(given.vector_selector.name)
                    ranged.add(name)
                    is_counter = KINDS.get(name) in ("counter", "histogram")
                    if (part.func.name in OF_COUNTERS) != is_counter:
                        faults.append(f"{part.func.name} of {name}, a {KINDS.get(name)}")
            if part.func.name == "histogram_quantile" and not re.search(r"by \([^)]*\ble\b", part.prettify()):
                faults.append("quantiles of buckets that were added up")
        if isinstance(part, promql.VectorSelector):
            name = str(part.name)
            if name not in KINDS:
                faults.append(f"{name} is measured nowhere")
            elif KINDS[name] != "gauge" and name not in ranged:
                faults.append(f"{name} is a {KINDS[name]}: only its rate says something")
            faults.extend(f"{m.name} is no label" for m in part.matchers.matchers if m.name not in LABELS)
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            faults.extend(f"{label} is no label" for label in part.modifier.labels if label not in LABELS)

    promql.walk(parsed, pre_visit=lambda part: visit(part))
    return faults


@pytest.mark.parametrize("where", list(EXPRESSIONS))
def test_every_expression_asks_for_what_is_measured_as_its_kind_is_asked_for(where: str) -> None:
    assert faults_of(EXPRESSIONS[where]) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(folkmoot_gateway_sends_total[5m]", "unclosed"),
        ("rate(folkmoot_gateway_sends_total)", "expected type matrix"),
        ("rate(folkmoot_gateway_sent_total[5m])", "measured nowhere"),
        ("folkmoot_gateway_sends_total > 5", "only its rate"),
        ("rate(folkmoot_gateway_connections[5m])", "a gauge"),
        ("max_over_time(folkmoot_gateway_sends_total[5m])", "a counter"),
        ("sum by (user) (folkmoot_gateway_connections)", "user is no label"),
        ('folkmoot_gateway_connections{user="x"}', "user is no label"),
        ("histogram_quantile(0.9, sum(rate(folkmoot_store_commit_seconds_bucket[5m])))", "added up"),
    ],
)
def test_an_expression_that_is_wrong_is_found(expression: str, fault: str) -> None:
    assert fault in " ".join(faults_of(expression))


def test_every_rule_compares_is_named_once_and_says_what_to_do() -> None:
    named = [rule["alert"] for rule in rules()]
    assert len(named) == len(set(named)) > 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        parsed = promql.parse(rule["expr"])
        assert isinstance(parsed, promql.BinaryExpr), rule["alert"]
        assert re.search(r"(>|==)\s+[\d.]+$", parsed.prettify()), rule["alert"]
        assert re.fullmatch(r"Folkmoot[A-Z][A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        assert len(rule["annotations"]["description"]) > 30
        if "for" in rule:
            promql.parse_duration(rule["for"])


def test_panels_have_numbers_of_their_own_units_and_words_and_do_not_overlap() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for panel in panels():
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"] in {"short", "ops", "s", "bytes", "percentunit"}
        assert panel["targets"]
        assert all(target["legendFormat"] for target in panel["targets"])
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in every], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


def test_variables_that_panels_use_are_there() -> None:
    text = (DEPLOY / "grafana" / "folkmoot.json").read_text()
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", text)) - {"__rate_interval", "__all"}
    assert used == variables


def test_every_duration_and_every_bound_can_be_seen_somewhere() -> None:
    shown = " ".join(EXPRESSIONS.values())
    unseen = [m.full_name for m in MEASURES if m.kind == "histogram" and f"{m.full_name}_bucket" not in shown]
    unseen += [m.full_name for m in MEASURES if m.name.endswith("_max") and m.full_name not in shown]
    assert unseen == [], "give it a panel"
