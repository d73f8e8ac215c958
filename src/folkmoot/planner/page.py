"""The plan as one HTML page that needs nothing else: sliders, and the very formulas of the sum run by the browser."""

import html
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from folkmoot.planner.answer import HIGHER_IS_BETTER, Answer, known_of
from folkmoot.planner.capacity import CORE_NEEDS, KINDS, MACHINES
from folkmoot.planner.demand import USERS
from folkmoot.planner.formula import as_javascript

_SCRIPT: Final = Path(__file__).parent / "page.js"
_STYLE: Final = Path(__file__).parent / "page.css"


def page_of(answer: Answer) -> str:
    """The whole page: it begins where the answer is."""
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in answer.notes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Folkmoot: how many machines</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body><h1>How many machines</h1>"
        '<form id="given"></form>'
        '<section><h2>Machines</h2><table id="machines"></table></section>'
        '<section><h2>The sum</h2><table id="steps"></table></section>'
        f'<section><h2>Measured</h2><table id="measured"></table></section>'
        f"<section><h2>What this takes for granted</h2><ul>{notes}</ul></section>"
        f"<script>{script_of(answer)}</script></body></html>\n"
    )


def script_of(answer: Answer) -> str:
    """The page's script: without a page it only defines `answer(given, costs)`, what the sum comes to."""
    known = sorted(known_of(answer.given, {name: one.median for name, one in answer.measured.items()}))
    names = {step.name for step in answer.steps}
    kinds = [
        {
            "name": kind.name,
            "what": kind.what,
            "least": kind.least,
            "needs": [{"by": need.by, "step": need.step.name} for need in kind.needs if need.step.name in names],
            "cores": [name for name in kind.cores if name in names],
        }
        for kind in KINDS
        if kind.name in names
    ]
    data: dict[str, Any] = {
        "given": [msgspec.structs.asdict(one) | {"value": answer.given[one.name]} for one in (*USERS, *MACHINES)],
        "measured": [msgspec.structs.asdict(one) for one in answer.measured.values()],
        "aside": {name: 0 for name in known if name not in answer.given and name not in answer.measured},
        "better": sorted(HIGHER_IS_BETTER),
        "told": [msgspec.structs.asdict(step) for step in answer.told],
        "kinds": kinds,
        "core_needs": sorted(CORE_NEEDS),
    }
    # Within a script, "</" could end it.
    said = json.dumps(data).replace("<", "\\u003c")
    formulas = as_javascript(answer.steps, known)
    return f"const PLAN = {said};\n{formulas}\n{_SCRIPT.read_text(encoding='utf-8')}"
