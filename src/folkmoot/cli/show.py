"""How an entry looks on a terminal, and as JSON for scripts."""

import datetime
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folkmoot.client.received import GroupEvent, Received


def as_text(entry: "Received", *, names: dict[str, str] | None = None) -> str:
    """One line for people. Control characters of a message do not reach the terminal."""
    when = datetime.datetime.fromtimestamp(entry.time_ms / 1_000).strftime("%H:%M:%S")
    where = f"{names.get(entry.group, entry.group)} " if names is not None else ""
    return f"{when} {where}{entry.seq:>5} {_printable(_said(entry))}"


def event_text(event: "GroupEvent") -> str:
    """What happens to the reader of a group beside its entries, in one line; "" for what is as it should be."""
    from folkmoot.protocol.events import Ended, Reset

    match event:
        case Ended():
            return f"({event.group}: you are no longer a member)"
        case Reset():
            return f"({event.group}: the position is not one of this log; going on from its head)"
        case _:
            return ""


def as_json(entry: "Received") -> str:
    """One line for scripts: the entry as clients get it."""
    fields = {
        name: getattr(entry, name) for name in ("group", "seq", "position", "kind", "sender", "device", "time_ms")
    }
    return json.dumps(fields | {"id": entry.send_id, "body": entry.body}, ensure_ascii=False)


def _said(entry: "Received") -> str:
    body = entry.body or {}
    match entry.kind:
        case "message" if entry.body is None:
            return f"{entry.sender}: (erased)"
        case "message":
            return f"{entry.sender}: {entry.text or f'({entry.type})'}"
        case "group.created":
            return f"* {entry.sender} made the group {body.get('name', '')!r}"
        case "group.renamed":
            return f"* {entry.sender} named the group {body.get('name', '')!r}"
        case "group.deleted":
            return f"* {entry.sender} deleted the group"
        case "member.added":
            return f"* {entry.sender} added {', '.join(body.get('users', []))}"
        case "member.removed":
            return f"* {entry.sender} removed {body.get('user', '')}"
        case "member.role":
            return f"* {entry.sender} made {body.get('user', '')} {body.get('role', '')}"
        case "member.joined":
            return f"* {entry.sender} joined"
        case "member.left":
            return f"* {entry.sender} left"
        case _:
            return f"* {entry.kind}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
