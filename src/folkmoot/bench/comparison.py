"""What a comparison found: rounds by contender, medians and spread, ratios of ours to each; as JSON and as text."""

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from folkmoot.bench.contenders import OURS, Contender, Missing
from folkmoot.bench.figures import Spread, spread_of
from folkmoot.bench.machine import Machine
from folkmoot.bench.plan import Plan
from folkmoot.bench.report import shown

TITLES: Final = {
    "fanout": "messages to all members of a group, at a rate",
    "blast": "the same at full blast: as much as the server's core gives",
    "idle": "connections that follow a group in which nothing happens",
}

COLUMNS: Final = {
    "fanout": ("deliveries_per_cpu_s", "deliveries_per_s", "latency_ms_p50", "latency_ms_p99", "server_cpu_share",
               "load_cpu_share", "frame_bytes"),
    "blast": ("deliveries_per_cpu_s", "deliveries_per_s", "latency_ms_p50", "latency_ms_p99", "server_cpu_share",
              "load_cpu_share", "frame_bytes"),
    "idle": ("rss_bytes_per_socket", "empty_rss_bytes", "connect_cpu_ms_per_socket"),
}  # fmt: skip
"""Which figures are shown for each, the one that ratios are of first."""

HEADS: Final = {
    "deliveries_per_cpu_s": "deliveries / CPU-s",
    "deliveries_per_s": "deliveries / s",
    "latency_ms_p50": "p50, ms",
    "latency_ms_p99": "p99, ms",
    "server_cpu_share": "of its core",
    "load_cpu_share": "load's core",
    "frame_bytes": "frame, B",
    "rss_bytes_per_socket": "B / connection",
    "empty_rss_bytes": "empty, B",
    "connect_cpu_ms_per_socket": "CPU ms / connect",
}


class Round(msgspec.Struct, kw_only=True):
    """One turn of one contender. `saturated` says why it did not take the rate; it has no cost then, and one that is
    refused has no figures but conditions."""

    scenario: str
    contender: str
    number: int
    rate_per_s: float
    figures: dict[str, float] = msgspec.field(default_factory=dict)
    refusals: list[str] = msgspec.field(default_factory=list)
    saturated: str = ""

    @property
    def good(self) -> bool:
        return not (self.refusals or self.saturated)


class Comparison(msgspec.Struct, kw_only=True):
    """All of it. `rounds` may be of several calls on the same machine, one after another."""

    at: str
    machine: Machine
    plans: list[Plan]
    contenders: list[Contender]
    missing: list[Missing]
    rounds: list[Round]

    @property
    def refused(self) -> bool:
        """Whether a turn gave no result, or somebody was missing."""
        return bool(self.missing) or any(one.refusals for one in self.rounds)

    def names(self, scenario: str) -> list[str]:
        """Those with a turn in it, in their order."""
        there = {one.contender for one in self.rounds if one.scenario == scenario}
        return [contender.name for contender in self.contenders if contender.name in there]

    def figures(self, scenario: str, name: str) -> dict[str, Spread]:
        """Medians and spread over its turns that gave a result."""
        good = self._results(scenario, name)
        wanted = COLUMNS[scenario]
        return {
            figure: spread_of([one.figures[figure] for one in good if figure in one.figures])
            for figure in wanted
            if any(figure in one.figures for one in good)
        }

    def turns(self, scenario: str, name: str) -> int:
        """How many of its turns the figures are of."""
        return len(self._results(scenario, name))

    def rate_per_s(self, scenario: str, name: str) -> float:
        """The rate that its results are of, in messages a second."""
        return max((one.rate_per_s for one in self._results(scenario, name)), default=0.0)

    def saturated(self, scenario: str, name: str) -> list[str]:
        """What was too much for it, in words."""
        return [
            f"{one.rate_per_s:g} messages a second: {one.saturated}"
            for one in self._of(scenario, name)
            if one.saturated
        ]

    def ratio(self, scenario: str, name: str, figure: str) -> Spread | None:
        """Ours to this one's, turn by turn; none where a round has not both."""
        ours = {one.number: one.figures[figure] for one in self._results(scenario, OURS)}
        theirs = {one.number: one.figures[figure] for one in self._results(scenario, name)}
        ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
        return spread_of(ratios) if ratios and name != OURS else None

    def _results(self, scenario: str, name: str) -> list[Round]:
        """Its turns with a result, those at the highest rate that it took."""
        good = [one for one in self._of(scenario, name) if one.good]
        most_per_s = max((one.rate_per_s for one in good), default=0.0)
        return [one for one in good if one.rate_per_s == most_per_s]

    def _of(self, scenario: str, name: str) -> list[Round]:
        return [one for one in self.rounds if one.scenario == scenario and one.contender == name]


def comparison_of(
    plans: Sequence[Plan],
    machine: Machine,
    contenders: Sequence[Contender],
    missing: Sequence[Missing],
    rounds: Sequence[Round],
    *,
    at: datetime.datetime,
) -> Comparison:
    """Sum up rounds."""
    return Comparison(
        at=at.isoformat(timespec="seconds"),
        machine=machine,
        plans=list(plans),
        contenders=list(contenders),
        missing=list(missing),
        rounds=list(rounds),
    )


def added(before: Comparison, more: Comparison) -> Comparison:
    """One comparison of both: the rounds of `more` come after those of `before`, numbered on from them."""
    after = max((one.number + 1 for one in before.rounds), default=0)
    rounds = [msgspec.structs.replace(one, number=one.number + after) for one in more.rounds]
    names = {contender.name for contender in more.contenders}
    earlier = [contender for contender in before.contenders if contender.name not in names]
    scenarios = {plan.scenario for plan in more.plans}
    return msgspec.structs.replace(
        more,
        plans=[plan for plan in before.plans if plan.scenario not in scenarios] + more.plans,
        contenders=more.contenders + earlier,
        missing=[one for one in before.missing if one.name not in names] + more.missing,
        rounds=before.rounds + rounds,
    )


def as_json(comparison: Comparison) -> bytes:
    """All of it, for machines."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=1)


def lines_of(comparison: Comparison) -> list[str]:
    """All of it, for people."""
    lines = [line for plan in comparison.plans for line in _scenario_lines(comparison, plan.scenario)]
    lines += ["what they store and promise"]
    for one in comparison.contenders:
        lines += [f"  {one.name} ({one.version or one.about})", f"    stores {one.stores}", f"    {one.promises}"]
    lines += [f"MISSING: {one.name}: {one.why}" for one in comparison.missing]
    return lines


def _scenario_lines(comparison: Comparison, scenario: str) -> list[str]:
    columns = COLUMNS[scenario]
    head = "".join(f"{HEADS[figure]:>20}" for figure in columns)
    lines = [f"{scenario}: {TITLES[scenario]}", f"  {'':<12}{'turns':>6}{'rate / s':>9}{head}{'ours to it':>22}"]
    for name in comparison.names(scenario):
        figures = comparison.figures(scenario, name)
        turns = comparison.turns(scenario, name)
        cells = "".join(f"{shown(figures[figure].median) if figure in figures else '-':>20}" for figure in columns)
        rate_per_s = comparison.rate_per_s(scenario, name)
        ratio = spread_text(comparison.ratio(scenario, name, columns[0]))
        lines.append(f"  {name:<12}{turns:>6}{f'{rate_per_s:g}' if rate_per_s else '-':>9}{cells}{ratio:>22}")
        lines += [f"    saturated at {what}" for what in comparison.saturated(scenario, name)]
    lines += [
        f"  NO RESULT of {one.contender}, round {one.number + 1}: {why}"
        for one in comparison.rounds
        if one.scenario == scenario
        for why in one.refusals
    ]
    return lines


def spread_text(spread: Spread | None) -> str:
    """A ratio with how far its rounds are apart."""
    if spread is None:
        return ""
    return f"{spread.median:.2f} ({spread.least:.2f} to {spread.most:.2f})"
