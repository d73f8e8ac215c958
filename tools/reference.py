"""Write what is made from the code: the error table, and the reference of settings, metrics and subjects.

`make docs` writes; `--check` says what differs, for the test.
"""

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from folkmoot.node.config import ENVIRONMENT_PREFIX, Settings, reason_of
from folkmoot.ports import subjects
from folkmoot.protocol import events
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


def events_page() -> str:
    lines = ["# Events", "", MADE, "", "Each is one JSON object, whose `t` is its name. What is said of them is in"]
    lines[-1] += " [protocol.md](protocol.md). A member with a default may be left out, in both directions; the others"
    lines[-1] += " are always there."
    sections = (("From the client", events.ClientEvent), ("From the server", events.ServerEvent))
    for title, union in sections:
        lines += ["", f"## {title}"]
        for event in get_args(union):
            lines += ["", *_members_of(f"`{event.__struct_config__.tag}`", event)]
    lines += ["", "## Rows of lists"]
    for name, row in (("a row of `groups`", events.GroupRow), ("a row of `members`", events.MemberRow)):
        lines += ["", *_members_of(name, row)]
    return "\n".join([*lines, ""])


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
    "spec/events.md": events_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/subjects.md": subjects_page,
}


_JSON_TYPES = {
    str: "string",
    int: "integer",
    bool: "boolean",
    msgspec.Raw: "any",
    NoneType: "null",
}


def _members_of(name: str, struct: type[msgspec.Struct]) -> list[str]:
    """A heading, and a table of the struct's members: name, type, default."""
    lines = [f"### {name}", "", "| member | type | default |", "| --- | --- | --- |"]
    for field in msgspec.structs.fields(struct):
        default = "" if field.required else f"`{_default(field)}`"
        lines.append(f"| `{field.encode_name}` | {_json_type(field.type)} | {default} |")
    return lines


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return (bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)).decode()


def _json_type(hint: Any) -> str:
    """What JSON calls a field's type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return " or ".join(_json_type(part) for part in inner)
    if origin is list:
        return f"array of {_json_type(inner[0])}"
    if origin is dict:
        return f"object of {_json_type(inner[1])} by {_json_type(inner[0])}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        rows = {events.EntryEvent: "`entry`", events.GroupRow: "rows, see below", events.MemberRow: "rows, see below"}
        return rows[hint]
    return _JSON_TYPES[hint]


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
