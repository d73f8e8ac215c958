"""Reports as one HTML page that needs nothing else: tables, and plots drawn in SVG."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from folkmoot.bench.plan import SCENARIOS
from folkmoot.bench.report import MEANINGS, Report, shown

WIDTH: Final = 560
HEIGHT: Final = 240
LEFT: Final = 64
BOTTOM: Final = 36
TOP: Final = 24
COLOURS: Final = ("#1f6feb", "#b35900", "#1a7f37", "#8250df", "#cf222e", "#57606a")
TICKS: Final = 4

Points = Sequence[tuple[float, float]]


class Plot(msgspec.Struct, frozen=True):
    """What is drawn of points: its title and its axes."""

    title: str
    x: str
    y: str


PLOTS: Final = {
    "_mib_by_second": Plot("memory, MiB", "second", "MiB"),
    "_by_second": Plot("arrivals in each second", "second", "count"),
    "_by_members": Plot("CPU of a delivery, us, by the members of a group", "members", "us"),
}
"""By what the name of a series ends in; what ends in none of them is times by their quantile."""

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } h2 { margin-top: 3rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem; } .missed, .refused { color: #cf222e; } .met { color: #1a7f37; }
svg text { font: 11px system-ui, sans-serif; fill: #57606a; } svg .title { font-size: 13px; fill: #1f2328; }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3; } svg .title { fill: #e6edf3; } }
"""


def page_of(reports: Sequence[Report]) -> str:
    """The whole page."""
    sections = "".join(_section(report) for report in reports)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Folkmoot: measured</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>Folkmoot: measured</h1>{sections}</body></html>\n"
    )


def plot_of(title: str, lines: Mapping[str, Points], *, x: str, y: str, by_log: bool = False) -> str:
    """An SVG of lines with axes from the least to the most; `by_log` has the tenfold at equal steps upwards."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    x_least, x_most = min(p[0] for p in points), max(p[0] for p in points)
    y_least = min(p[1] for p in points) if by_log else 0.0
    y_most = max(max(p[1] for p in points), y_least + 1e-9)
    scale = _Scale(x_least, x_most, y_least, y_most, by_log=by_log)
    parts = [f'<text class="title" x="{LEFT}" y="14">{html.escape(title)}</text>', *_axes(scale, x, y)]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{scale.x(px):.1f},{scale.y(py):.1f}" for px, py in line)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        at = WIDTH - 8 - 90 * (len(lines) - 1 - number)
        parts.append(f'<text x="{at}" y="14" text-anchor="end" style="fill:{colour}">{html.escape(name)}</text>')
    label = html.escape(f"{title}: {', '.join(lines)}")
    return f'<svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'


class _Scale:
    def __init__(self, x_least: float, x_most: float, y_least: float, y_most: float, *, by_log: bool) -> None:
        self.x_least, self.x_most = x_least, max(x_most, x_least + 1e-9)
        self.by_log = by_log and y_least > 0
        self.y_least, self.y_most = y_least, y_most

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_least) / (self.x_most - self.x_least) * (WIDTH - LEFT - 8)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - self._share(value) * (HEIGHT - BOTTOM - TOP)

    def ticks_y(self) -> list[float]:
        shares = [n / TICKS for n in range(TICKS + 1)]
        if self.by_log:
            return [self.y_least * (self.y_most / self.y_least) ** share for share in shares]
        return [self.y_least + (self.y_most - self.y_least) * share for share in shares]

    def ticks_x(self) -> list[float]:
        return [self.x_least + (self.x_most - self.x_least) * n / TICKS for n in range(TICKS + 1)]

    def _share(self, value: float) -> float:
        if self.by_log:
            return math.log(value / self.y_least) / math.log(self.y_most / self.y_least)
        return (value - self.y_least) / (self.y_most - self.y_least)


def _axes(scale: _Scale, x: str, y: str) -> list[str]:
    parts = []
    for value in scale.ticks_y():
        at = scale.y(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8c959f" opacity=".3"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{shown(value)}</text>')
    for value in scale.ticks_x():
        parts.append(f'<text x="{scale.x(value):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{shown(value)}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x)}</text>')
    parts.append(f'<text x="2" y="14">{html.escape(y)}</text>')
    return parts


def _section(report: Report) -> str:
    parts = [f"<h2>{html.escape(report.scenario)}</h2><p>{html.escape(SCENARIOS[report.scenario])}</p>"]
    for target in report.targets:
        word = "met" if target.met else "missed"
        parts.append(f'<p class="{word}">{word}: {html.escape(target.wanted)}</p>')
    for number, run in enumerate(report.runs, start=1):
        parts += [f'<p class="refused">no result of run {number}: {html.escape(why)}</p>' for why in run.refusals]
    parts += [f"<p>note: {html.escape(warning)}</p>" for warning in report.warnings]
    parts.append(_figures(report))
    parts.append(f'<div class="plots">{_plots(report)}</div>')
    parts.append(_facts(report))
    return "".join(parts)


def _figures(report: Report) -> str:
    if not report.figures:
        return ""
    rows = "".join(
        f'<tr><td>{html.escape(MEANINGS[name])}</td><td class="number"><b>{shown(spread.median)}</b></td>'
        f'<td class="number">{shown(spread.least)}</td><td class="number">{shown(spread.most)}</td></tr>'
        for name, spread in report.figures.items()
    )
    return f"<table><tr><th>figure</th><th>median</th><th>least</th><th>most</th></tr>{rows}</table>"


def _plots(report: Report) -> str:
    """What the last run that gave a result has points of, by the ends of their names."""
    series = next((run.series for run in reversed(report.runs) if not run.refusals), {})
    left = {name: line for name, line in series.items() if line}
    plots = []
    for end, plot in PLOTS.items():
        lines = {name.removesuffix(end): left.pop(name) for name in list(left) if name.endswith(end)}
        plots.append(plot_of(plot.title, lines, x=plot.x, y=plot.y))
    times = {name.removesuffix("_latency"): line for name, line in left.items()}
    return "".join([plot_of("times, ms, by quantile", times, x="share", y="ms", by_log=True), *plots])


def _facts(report: Report) -> str:
    machine, plan = report.machine, report.plan
    facts = {
        "when": report.at,
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.1f} GiB",
        "system": f"{machine.kernel}, {machine.file_system}, {machine.open_files_max} open files",
        "versions": f"Folkmoot {machine.folkmoot}, {machine.python}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items())),
        "load before": str(machine.load_average),
        "plan": ", ".join(f"{name} {getattr(plan, name)}" for name in plan.__struct_fields__ if name != "settings"),
    }
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    return f"<table>{rows}</table>"
