"""The report of `check live` as one page: what was struck when, how long all took to be up to date, the verdict."""

from html import escape
from typing import Final

from folkmoot.checker.history import FAULTS
from folkmoot.checker.live import LiveReport, Round
from folkmoot.checker.target import KINDS

WIDTH_PX: Final = 960
ROW_PX: Final = 22
LABEL_PX: Final = 90

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: right }
td:first-child, th:first-child { text-align: left }
.clean { color: #17703b } .dirty { color: #b3261e } pre { white-space: pre-wrap }
svg text { font: 11px system-ui, sans-serif; fill: #444 }
"""


def page(report: LiveReport) -> str:
    """One self-contained HTML page."""
    verdict = "clean" if report.clean else "NOT CLEAN"
    parts = [
        f'<h1>folkmoot check live: <span class="{"clean" if report.clean else "dirty"}">{verdict}</span></h1>',
        f"<p>Seed {report.seed}, {report.seconds:,.0f} seconds, {report.clients} clients,"
        f" {report.reconnects:,} reconnects{', interrupted' if report.interrupted else ''}.</p>",
        _verdict_table(report),
        _details(report),
        "<h2>Seconds until everyone was up to date again</h2>",
        _recovery_table(report),
        "<h2>What was struck when</h2>",
        _timeline(report),
        "<h2>What the faults are</h2>",
        _rows(("fault", "what it does"), [(kind.replace("_", " "), meaning) for kind, meaning in KINDS.items()]),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>folkmoot check live: {verdict}</title>'
        f"<style>{_STYLE}</style><body>\n{body}\n</body></html>\n"
    )


def _verdict_table(report: LiveReport) -> str:
    rows: list[tuple[str, ...]] = [
        ("acknowledged", f"{report.verdict.acknowledged:,}"),
        ("delivered", f"{report.verdict.deliveries:,}"),
        *((fault.replace("_", " "), f"{report.verdict.counts.get(fault, 0):,}") for fault in FAULTS),
        ("stuck", f"{len(report.stuck):,}"),
    ]
    return _rows(("what", "count"), rows)


def _details(report: LiveReport) -> str:
    lines = report.verdict.lines() + report.stuck
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""


def _recovery_table(report: LiveReport) -> str:
    head = ("after", "times", "p50 from healing", "max from healing", "p50 from its start", "max from its start")
    rows = [
        (kind.replace("_", " "), f"{r.count}", *_seconds(r.p50_s, r.max_s, r.whole_p50_s, r.whole_max_s))
        for kind, r in report.recoveries().items()
    ]
    return _rows(head, rows)


def _seconds(*values: float) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _timeline(report: LiveReport) -> str:
    kinds = sorted({kind for one in report.rounds for kind in one.kinds})
    if not kinds:
        return "<p>Nothing was struck.</p>"
    per_s = (WIDTH_PX - LABEL_PX) / max(report.seconds, 0.001)
    height = ROW_PX * (len(kinds) + 1)
    marks = [
        f'<text x="0" y="{ROW_PX * row + 14}">{escape(kind.replace("_", " "))}</text>' for row, kind in enumerate(kinds)
    ]
    for one in report.rounds:
        marks += [_mark(one, kinds.index(kind), per_s) for kind in one.kinds]
    marks.append(f'<text x="{LABEL_PX}" y="{height - 4}">0 s</text>')
    marks.append(f'<text x="{WIDTH_PX}" y="{height - 4}" text-anchor="end">{report.seconds:,.0f} s</text>')
    return f'<svg viewBox="0 0 {WIDTH_PX} {height}" width="100%" role="img">{"".join(marks)}</svg>' + (
        "<p>Dark: the fault; light: from its healing until everyone was up to date.</p>"
    )


def _mark(one: Round, row: int, per_s: float) -> str:
    left = LABEL_PX + one.began_s * per_s
    lasted = max(1.0, one.lasted_s * per_s)
    y, height = ROW_PX * row + 3, ROW_PX - 6
    recovery = one.recovery_s
    tail = "#b3261e" if recovery is None else "#9ec5fe"
    after = ROW_PX if recovery is None else max(1.0, recovery * per_s)
    said = "never" if recovery is None else f"{recovery:.2f} s"
    title = f"{' + '.join(one.kinds)} at {one.began_s:.1f} s for {one.lasted_s:.2f} s; up to date after {said}"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{left:.1f}" y="{y}" width="{lasted:.1f}" height="{height}" fill="#0b4f9e"/>'
        f'<rect x="{left + lasted:.1f}" y="{y}" width="{after:.1f}" height="{height}" fill="{tail}"/></g>'
    )


def _rows(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table><tr>{cells}</tr>{''.join(lines)}</table>"
