"""Write what is made from the code: the error table, and the reference of settings, metrics and subjects.

`make docs` writes; `--check` says what differs, for the test.
"""

import sys
from pathlib import Path
from typing import get_type_hints

from folkmoot.node.config import ENVIRONMENT_PREFIX, Settings, reason_of
from folkmoot.ports import subjects
from folkmoot.protocol.errors import CODES, Certainty
from folkmoot.telemetry.metrics import MEASURES

ROOT = Path(__file__).parent.parent
MADE = "Made from the code by `make docs`: change it there."


def errors_toml() -> str:
    parts = [
        f"# {MADE}\n# Every error code of the protocol: whether it is definite, what it means, what a client does.\n"
    ]
    for code in CODES.values():
        close = f"close = {code.close}\n" if code.close else ""
        parts.append(
            f"\n[{code.name}]\nkind = {_quoted(code.certainty.value)}\n"
            f"definite = {str(code.certainty is Certainty.REFUSED).lower()}\n{close}"
            f"meaning = {_quoted(code.meaning)}\nclient = {_quoted(code.client)}\n"
        )
    return "".join(parts)


def errors_page() -> str:
    lines = ["# Error codes", "", MADE, ""]
    titles = {
        Certainty.REFUSED: "Refused: definite, it did not happen and never will under this send id",
        Certainty.UNDECIDED: "Undecided: it may yet happen; the same send id again settles it",
        Certainty.FAILED: "Error: a request that makes no entry did not happen",
        Certainty.CLOSED: "Goodbye: the connection ends",
    }
    for certainty, title in titles.items():
        closes = certainty is Certainty.CLOSED
        lines += [f"## {title}", "", "| code | meaning | what a client does |" + (" close code |" if closes else "")]
        lines.append("| --- | --- | --- |" + (" --- |" if closes else ""))
        for code in CODES.values():
            if code.certainty is certainty:
                lines.append(
                    f"| `{code.name}` | {code.meaning} | {code.client} |" + (f" {code.close} |" if closes else "")
                )
        lines.append("")
    return "\n".join(lines)


def settings_page() -> str:
    lines = ["# Settings", "", MADE, ""]
    lines += ["A value comes from the defaults, then the TOML file (`--config`), then the environment, then flags", ""]
    lines[-2] += " (`--set NAME=VALUE`, some with a flag of their own)."
    lines += ["| setting | default | environment | why |", "| --- | --- | --- | --- |"]
    defaults, hints = Settings(), get_type_hints(Settings)
    for name in hints:
        value = getattr(defaults, name)
        shown = "none" if value == () else str(value).lower() if isinstance(value, bool) else value
        lines.append(f"| `{name}` | `{shown}` | `{ENVIRONMENT_PREFIX}{name.upper()}` | {reason_of(name)} |")
    return "\n".join([*lines, ""])


def metrics_page() -> str:
    lines = ["# Metrics", "", MADE, "", "Read at `/metrics`.", "", "| metric | kind | meaning |", "| --- | --- | --- |"]
    for measure in MEASURES:
        total = "_total" if measure.kind == "counter" else ""
        lines.append(f"| `folkmoot_{measure.role}_{measure.name}{total}` | {measure.kind} | {measure.meaning} |")
    return "\n".join([*lines, ""])


def subjects_page() -> str:
    return f"# Subjects of the bus\n\n{MADE}\n\n{(subjects.__doc__ or '').strip()}\n"


PAGES = {
    "spec/errors.toml": errors_toml,
    "docs/reference/errors.md": errors_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/subjects.md": subjects_page,
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main() -> int:
    """Write every page, or with `--check` name those that differ; how many did."""
    check = "--check" in sys.argv[1:]
    differing = 0
    for path, make in PAGES.items():
        target, content = ROOT / path, make()
        if target.exists() and target.read_text() == content:
            continue
        differing += 1
        if check:
            print(f"{path} is not what the code says")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            print(f"wrote {path}")
    return differing if check else 0


if __name__ == "__main__":
    sys.exit(main())
