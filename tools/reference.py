"""Write what is made from the code: tables of errors and events, and the reference of whatever users can look up.

`make docs` writes; `--check` says what differs, for the test.
"""

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import typer
import yaml

from folkmoot import __version__
from folkmoot.checker.history import FAULTS
from folkmoot.cli import main as command_line
from folkmoot.gateway.problem import STATUS
from folkmoot.gateway.rest.document import document
from folkmoot.node.config import ENVIRONMENT_PREFIX, Settings, changes_live, reason_of
from folkmoot.ports import subjects
from folkmoot.protocol import events
from folkmoot.protocol.asyncapi import document as socket_document
from folkmoot.protocol.errors import CODES, Certainty
from folkmoot.telemetry.metrics import MEASURES

ROOT = Path(__file__).parent.parent
CALLER = {"url", "token", "token_file", "as_user", "data_dir"}
CALLER_TITLE = "Options of every verb that talks to a server"
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
    lines += ["SIGHUP has a running server read them again: those marked so change at once, others need a restart.", ""]
    lines += ["| setting | default | environment | at once | why |", "| --- | --- | --- | --- | --- |"]
    defaults, hints = Settings(), get_type_hints(Settings)
    for name in hints:
        value = getattr(defaults, name)
        shown = "none" if value in ((), "") else str(value).lower() if isinstance(value, bool) else value
        live = "yes" if changes_live(name) else ""
        lines.append(f"| `{name}` | `{shown}` | `{ENVIRONMENT_PREFIX}{name.upper()}` | {live} | {reason_of(name)} |")
    return "\n".join([*lines, ""])


def metrics_page() -> str:
    lines = ["# Metrics", "", MADE, "", "Read at `/metrics`; [what to watch](../how-to/watch.md) says what for.", ""]
    lines += ["| metric | kind | meaning |", "| --- | --- | --- |"]
    for measure in MEASURES:
        name = measure.full_name if measure.kind == "histogram" else measure.series[0]
        label = f"{{{measure.label}}}" if measure.label else ""
        bounds = f" (bounds: {', '.join(f'{bound:g}' for bound in measure.bounds)})" if measure.bounds else ""
        lines.append(f"| `{name}{label}` | {measure.kind} | {measure.meaning}{bounds} |")
    return "\n".join([*lines, ""])


def subjects_page() -> str:
    return f"# Subjects of the bus\n\n{MADE}\n\n{(subjects.__doc__ or '').strip()}\n"


def verdict_page() -> str:
    lines = [
        "# What a verdict counts",
        "",
        MADE,
        "",
        "`folkmoot replay` judges by these; clean means none of any, and that not every send was refused.",
        "",
    ]
    lines += ["| fault | means |", "| --- | --- |"]
    lines += [f"| {fault.replace('_', ' ')} | {meaning} |" for fault, meaning in FAULTS.items()]
    return "\n".join([*lines, ""])


def commands_page() -> str:
    lines = ["# Commands", "", MADE, "", *_paragraphs(command_line.__doc__ or "")]
    whole: Any = typer.main.get_command(command_line.app)
    for verb, command in whole.commands.items():
        inner = getattr(command, "commands", None)
        for name, one in [(verb, command)] if inner is None else [(f"{verb} {sub}", c) for sub, c in inner.items()]:
            lines += ["", *_command(f"folkmoot {name}", one)]
    of_a_caller = [p for p in whole.commands["send"].params if p.name in CALLER]
    lines += ["", f"## {CALLER_TITLE}", "", "Where it is, and who asks.", "", *_options(of_a_caller)]
    return "\n".join([*lines, ""])


def openapi() -> str:
    return msgspec.json.format(msgspec.json.encode(document(__version__)), indent=1).decode() + "\n"


def asyncapi() -> str:
    examples = {}
    for path in sorted((ROOT / "spec" / "vectors").glob("*.json")):
        vector = msgspec.json.decode(path.read_bytes())
        examples[vector["event"]] = [msgspec.json.decode(frame) for frame in vector["frames"][:1]]
    text = yaml.safe_dump(socket_document(__version__, examples), sort_keys=False, width=120, allow_unicode=True)
    return f"# {MADE}\n{text}"


def rest_page() -> str:
    made = document(__version__)
    lines = ["# REST", "", MADE, "", "The same for machines is [openapi.json](../../spec/openapi.json), which a server"]
    lines[-1] += " has at `/v1/openapi.json`, with a page to try it at `/v1/docs`. How to use it:"
    lines[-1] += " [REST with curl](../how-to/rest.md). Every call wants `Authorization: Bearer` and a token or an API"
    lines[-1] += " key; a key says in `Folkmoot-User` for whom it acts."
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            lines += ["", f"## {method.upper()} `{path}`", "", f"{operation['summary']}. {operation['description']}"]
            lines += _rest_parameters(operation)
            for title, part in (("Body", operation.get("requestBody")), *_rest_answer(operation)):
                if part is not None:
                    ((media_type, content),) = part["content"].items()
                    name = content["schema"].get("$ref", "").rpartition("/")[2]
                    lines += ["", f"{title}: [{name}](#{name.lower()})." if name else f"{title}: `{media_type}`."]
            problems = [status for status in operation["responses"] if not status.startswith("2")]
            lines += ["", f"Problems: {', '.join(problems)}."]
    lines += ["", "# Shapes"]
    for name, schema in made["components"]["schemas"].items():
        lines += ["", f"## {name}", "", schema.get("description", ""), "", "| member | type | |", "| --- | --- | --- |"]
        for member, about in schema.get("properties", {}).items():
            needed = "required" if member in schema["required"] else ""
            lines.append(f"| `{member}` | {_schema_type(about)} | {needed} |")
    lines += ["", "# Codes", "", "| code | status | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{code}` | {int(status)} | {CODES[code].meaning} |" for code, status in STATUS.items()]
    return "\n".join([*lines, ""])


def _rest_parameters(operation: dict[str, Any]) -> list[str]:
    lines = ["", "| parameter | in | type | |", "| --- | --- | --- | --- |"]
    for one in operation.get("parameters", ()):
        needed = " Required." if one["required"] else ""
        kind = _schema_type(one["schema"])
        lines.append(f"| `{one['name']}` | {one['in']} | {kind} | {one['description']}{needed} |")
    return lines if len(lines) > 3 else []


def _rest_answer(operation: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(f"Answer {s}", part) for s, part in operation["responses"].items() if s.startswith("2")]


def _schema_type(about: dict[str, Any]) -> str:
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for way in ("anyOf", "oneOf"):
        if way in about:
            return " or ".join(_schema_type(part) for part in about[way])
    if "enum" in about:
        return " or ".join(f"`{value}`" for value in about["enum"])
    if about.get("type") == "array":
        return f"array of {_schema_type(about.get('items', {}))}"
    return str(about.get("type", "any"))


PAGES = {
    "spec/openapi.json": openapi,
    "docs/reference/rest.md": rest_page,
    "spec/errors.toml": errors_toml,
    "spec/events.md": events_page,
    "spec/asyncapi.yaml": asyncapi,
    "docs/reference/errors.md": errors_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/verdict.md": verdict_page,
    "docs/reference/commands.md": commands_page,
    "docs/reference/subjects.md": subjects_page,
}


def _command(usage: str, command: Any) -> list[str]:
    """A heading with the usage, the help, and a table of the options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    talks = {option.name for option in options} >= CALLER
    if talks:
        options = [option for option in options if option.name not in CALLER]
    for argument in arguments:
        shown = (argument.metavar or argument.name).upper().strip("[]{}") + ("..." if argument.nargs == -1 else "")
        usage += f" {shown}" if argument.required else f" [{shown}]"
    lines = [f"## `{usage}`", "", *_paragraphs(command.help or "")]
    if options:
        lines += ["", *_options(options)]
    if talks:
        anchor = CALLER_TITLE.lower().replace(" ", "-")
        lines += ["", f"And the [{CALLER_TITLE[0].lower()}{CALLER_TITLE[1:]}](#{anchor})."]
    return lines


def _options(options: list[Any]) -> list[str]:
    lines = ["| option | environment | default | |", "| --- | --- | --- | --- |"]
    for option in options:
        names = "/".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        plain = option.default is None or callable(option.default) or option.default in ("", False)
        default = "" if plain else f"`{option.default}`"
        variable = f"`{option.envvar}`" if isinstance(option.envvar, str) else ""
        lines.append(f"| {names} | {variable} | {default} | {(option.help or '').replace('|', '/')} |")
    return lines


def _paragraphs(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


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
