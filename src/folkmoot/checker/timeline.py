"""A failed run as one HTML page: verdict, plan, and the timeline of who sent, stored, pushed and applied what."""

import html
from collections.abc import Sequence
from typing import Final

import msgspec

from folkmoot.checker.laws import LAWS, Violation
from folkmoot.testing.happenings import Asked, Faulted, Happening, Heard, Noted, Pushed, Refused, Stored, Told, Took
from folkmoot.testing.simulation import Run

ROWS_MAX: Final = 5_000
"""Of the timeline. A run that was cut down has a few hundred."""

_STYLE: Final = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
code, td.at, td.seq { font-family: ui-monospace, monospace; font-size: 12.5px; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; position: sticky; top: 0; background: #fff; }
td, th { padding: .2rem .6rem; border-bottom: 1px solid #e4e7eb; vertical-align: top; }
td.at { white-space: nowrap; text-align: right; color: #57606a; } td.seq { text-align: right; }
tr.fault td { background: #fff1e5; } tr.stored td { background: #e8f5e9; } tr.told td { background: #eef4ff; }
tr.noted td { color: #57606a; } .law { color: #b42318; font-weight: 600; }
label { margin-right: 1rem; } input[type=search] { padding: .3rem .5rem; width: 24rem; }
@media (prefers-color-scheme: dark) {
  body, th { background: #14171a; color: #e6e8ea; } td, th { border-color: #2c3136; }
  tr.fault td { background: #40290f; } tr.stored td { background: #12301a; } tr.told td { background: #14243f; }
}
"""

_SCRIPT: Final = """
const rows = [...document.querySelectorAll("tbody.timeline tr")];
const search = document.getElementById("search");
const kinds = [...document.querySelectorAll("input[data-kind]")];
function show() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const on = new Set(kinds.filter(k => k.checked).map(k => k.dataset.kind));
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !on.has(row.className) || !words.every(word => text.includes(word));
  }
}
search.addEventListener("input", show);
kinds.forEach(kind => kind.addEventListener("change", show));
"""


def page(run: Run, violations: Sequence[Violation], command: str) -> str:
    """The page. It stands alone: no other file, nothing loaded from anywhere."""
    plan = run.plan
    rows = [_row(happening) for happening in run.happenings[:ROWS_MAX]]
    more = len(run.happenings) - len(rows)
    kinds = "".join(
        f'<label><input type="checkbox" data-kind="{kind}" checked> {kind}</label>'
        for kind in ("asked", "told", "stored", "pushed", "applied", "fault", "noted")
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(plan.workload)} {plan.seed}: {len(violations)} violations</title><style>{_STYLE}</style></head><body>
<h1>{_text(plan.workload)}, seed {plan.seed}</h1>
<p>{len(plan.people)} clients, {len(plan.steps)} steps, {len(plan.faults)} faults,
{run.virtual_s:.1f} simulated seconds. Replay it with <code>{_text(command)}</code></p>
<h2>What was wrong</h2>
<table><thead><tr><th>Law</th><th>How it was broken</th></tr></thead><tbody>{_violations(violations)}</tbody></table>
<h2>Faults of the plan</h2>
<table><tbody>{_faults(run)}</tbody></table>
<h2>What happened</h2>
<p><input id="search" type="search" placeholder="a client, a process, a send id, a group" aria-label="Search">
{kinds}</p>
<table><thead><tr><th>Seconds</th><th>Who</th><th>What</th><th>Group</th><th>Seq</th><th></th></tr></thead>
<tbody class="timeline">{"".join(rows)}</tbody></table>
{f"<p>and {more} more</p>" if more > 0 else ""}
<script>{_SCRIPT}</script></body></html>
"""


def _violations(violations: Sequence[Violation]) -> str:
    return "".join(
        f'<tr><td><span class="law">{_text(v.law)}</span><br>{_text(LAWS.get(v.law, ""))}</td>'
        f"<td>{_text(v.what)}</td></tr>"
        for v in violations
    )


def _faults(run: Run) -> str:
    return "".join(
        f'<tr><td class="at">{f.at_s:.3f}</td><td>{_text(f.kind)}</td><td>{_text(f.target)}</td>'
        f"<td>{_text(f.other)}</td>"
        f"<td>{f'for {f.lasts_s:g} s' if f.lasts_s else ''}</td><td>{f'{f.rate:g}' if f.rate else ''}</td></tr>"
        for f in run.plan.faults
    )


def _row(happening: Happening) -> str:
    kind, who, what, group, seq, more = _told_of(happening)
    cells = "".join(f"<td>{_text(cell)}</td>" for cell in (who, what, group))
    return (
        f'<tr class="{kind}"><td class="at">{happening.at_ms / 1_000:.3f}</td>{cells}'
        f'<td class="seq">{seq}</td><td>{_text(more)}</td></tr>'
    )


def _told_of(happening: Happening) -> tuple[str, str, str, str, str, str]:
    """Its kind, who, what, in which group, at which number, and what else there is to say."""
    match happening:
        case Asked(who=who, kind=kind, group=group, send_id=send_id, body=body):
            return "asked", who, f"asks for {kind}", group, "", f"{send_id} {body.decode()}"
        case Told(who=who, group=group, send_id=send_id, seq=seq, code=code):
            if seq is not None:
                return "told", who, "is told: accepted", group, str(seq), send_id
            return "told", who, f"is told: {code}", group, "", f"{send_id}{' for good' if happening.definite else ''}"
        case Stored(group=group, seq=seq, kind=kind, sender=sender, send_id=send_id):
            return "stored", "store", f"has {kind}", group, str(seq), f"{sender}/{send_id}, epoch {happening.epoch}"
        case Refused(group=group, sender=sender, send_id=send_id, code=code):
            return "stored", "store", f"has a refusal: {code}", group, "", f"{sender}/{send_id}"
        case Pushed(who=who, subject=subject, group=group, seq=seq):
            return "pushed", who, f"publishes on {subject}", group, str(seq), ""
        case Took(who=who, group=group, seq=seq, kind=kind, sender=sender, send_id=send_id):
            return "applied", who, f"applies {kind}", group, str(seq), f"{sender}/{send_id}"
        case Heard(who=who, group=group, event=event, seq=seq):
            return "applied", who, event, group, str(seq), ""
        case Faulted(kind=kind, target=target, detail=detail, on=on):
            return "fault", target or "all", f"{kind} {'begins' if on else 'ends'}", "", "", detail
        case Noted(who=who, what=what, detail=detail):
            return "noted", who, what, "", "", detail


def _text(value: object) -> str:
    return html.escape(str(value))


def plan_json(run: Run) -> bytes:
    """The plan, to be kept and run again with `--plan`."""
    return msgspec.json.format(msgspec.json.encode(run.plan), indent=1)
