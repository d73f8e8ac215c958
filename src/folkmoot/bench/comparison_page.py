"""A comparison as one HTML page that needs nothing else: who takes part, a table a scenario, and bars."""

import html
from collections.abc import Mapping
from typing import Final

from folkmoot.bench.comparison import COLUMNS, HEADS, TITLES, Comparison, spread_text
from folkmoot.bench.contenders import OURS
from folkmoot.bench.page import STYLE
from folkmoot.bench.report import shown

BAR_WIDTH: Final = 420
BAR_HEIGHT: Final = 22
NAME_WIDTH: Final = 100

BARS: Final = {
    "fanout": "deliveries per CPU-second",
    "blast": "deliveries per CPU-second",
    "idle": "bytes a connection",
}


def page_of(comparison: Comparison) -> str:
    """The whole page."""
    machine = comparison.machine
    facts = f"{comparison.at}; {machine.processor}, {machine.cores} cores; {machine.kernel}, {machine.file_system}"
    sections = "".join(_section(comparison, plan.scenario) for plan in comparison.plans)
    missing = "".join(
        f'<p class="missed">missing: {html.escape(f"{one.name}: {one.why}")}</p>' for one in comparison.missing
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Folkmoot beside others</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>Folkmoot beside others</h1><p>{html.escape(facts)}</p>"
        f"{missing}{_who(comparison)}{sections}</body></html>\n"
    )


def bars_of(title: str, values: Mapping[str, float]) -> str:
    """An SVG of one bar a name, from zero."""
    most = max(values.values(), default=0.0)
    if most <= 0:
        return ""
    height = BAR_HEIGHT * (len(values) + 1)
    parts = [f'<text class="title" x="0" y="14">{html.escape(title)}</text>']
    for row, (name, value) in enumerate(values.items(), start=1):
        y, width = row * BAR_HEIGHT, value / most * BAR_WIDTH
        colour = "#1f6feb" if name == OURS else "#8c959f"
        parts.append(f'<text x="0" y="{y + 14}">{html.escape(name)}</text>')
        parts.append(f'<rect x="{NAME_WIDTH}" y="{y + 2}" width="{width:.1f}" height="16" fill="{colour}"/>')
        parts.append(f'<text x="{NAME_WIDTH + width + 6:.1f}" y="{y + 14}">{shown(value)}</text>')
    label = html.escape(f"{title}: " + ", ".join(f"{name} {shown(value)}" for name, value in values.items()))
    width = NAME_WIDTH + BAR_WIDTH + 80
    return f'<svg role="img" aria-label="{label}" width="{width}" height="{height}">{"".join(parts)}</svg>'


def _who(comparison: Comparison) -> str:
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in (one.name, one.about, one.stores, one.promises))
        + f"<td>{html.escape(one.version)}</td></tr>"
        for one in comparison.contenders
    )  # fmt: skip
    heads = "".join(f"<th>{head}</th>" for head in ("", "what it is", "stores", "promises", "version"))
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _section(comparison: Comparison, scenario: str) -> str:
    columns = COLUMNS[scenario]
    heads = "".join(f"<th>{html.escape(HEADS[figure])}</th>" for figure in columns)
    rows, bars = [], {}
    for name in comparison.names(scenario):
        figures = comparison.figures(scenario, name)
        if columns[0] in figures:
            bars[name] = figures[columns[0]].median
        cells = "".join(
            f'<td class="number" title="{shown(figures[figure].least)} to {shown(figures[figure].most)}">'
            f"{shown(figures[figure].median)}</td>"
            if figure in figures
            else '<td class="number">-</td>'
            for figure in columns
        )
        ratio = html.escape(spread_text(comparison.ratio(scenario, name, columns[0])))
        rate_per_s = comparison.rate_per_s(scenario, name)
        rows.append(f"<tr><td>{html.escape(name)}</td><td>{rate_per_s:g}</td>{cells}<td>{ratio}</td></tr>")
    notes = [
        f"<p>{html.escape(f'{name} is saturated at {what}')}</p>"
        for name in comparison.names(scenario)
        for what in comparison.saturated(scenario, name)
    ]
    notes += [
        f'<p class="refused">no result of {html.escape(f"{one.contender}, round {one.number + 1}: {why}")}</p>'
        for one in comparison.rounds
        if one.scenario == scenario
        for why in one.refusals
    ]
    return (
        f"<h2>{scenario}</h2><p>{html.escape(TITLES[scenario])}</p>{bars_of(BARS[scenario], bars)}"
        f"<table><tr><th></th><th>messages / s</th>{heads}<th>ours to it</th></tr>{''.join(rows)}</table>"
        + "".join(notes)
    )
