"""The socket for machines: an AsyncAPI document, made from the events themselves."""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args, get_origin

import msgspec

from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import FRAME_BYTES_MAX

SCHEMAS: Final = "#/components/schemas/{}"
MESSAGES: Final = "#/components/messages/{}"
CHANNEL: Final = "#/channels/socket"

REPLIES: Final[dict[type[ev.Event], tuple[type[ev.Event], ...]]] = {
    ev.Hello: (ev.Welcome, ev.Goodbye),
    ev.Refresh: (ev.Refreshed, ev.Goodbye),
    ev.Resume: (
        ev.EntryEvent, ev.Snapshot, ev.JoinedEvent, ev.Recovered, ev.Reset, ev.Ended, ev.ResumeDone, ev.Failed,
    ),
    ev.Send: (ev.Accepted, ev.RefusedEvent, ev.Undecided, ev.Failed),
    ev.Read: (ev.Page, ev.Failed),
    ev.ListGroups: (ev.GroupList, ev.Failed),
    ev.ListMembers: (ev.MemberList, ev.Failed),
    ev.MarkRead: (ev.Pointer, ev.Failed),
    ev.Ping: (ev.Pong,),
}  # fmt: skip
"""What each request is answered with. An `ack` is answered with nothing, or an `error`."""

UNASKED: Final = (
    ev.EntryEvent, ev.JoinedEvent, ev.Recovered, ev.Ended, ev.Behind, ev.Reset, ev.Snapshot, ev.Pointer, ev.Failed,
    ev.Goodbye,
)  # fmt: skip
"""What comes by itself on a live connection."""

ABOUT: Final = (
    "Everything that crosses the WebSocket. What the events mean, and what a client promises, is in protocol.md; the"
    " codes are in errors.toml; REST and Server-Sent Events in openapi.json. The document is written from the server's"
    " side: what it receives a client sends."
)


def document(version: str, examples: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The whole document, for a server of `version`. `examples`: payloads by the name of their event."""
    events = [*get_args(ev.ClientEvent), *get_args(ev.ServerEvent)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Folkmoot",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8420", "protocol": "ws", "description": "As `folkmoot serve` has it."}
        },
        "channels": {"socket": _channel(events)},
        "operations": _operations(),
        "components": {
            "messages": {tag_of(event): _message(event, examples.get(tag_of(event), ())) for event in events},
            "schemas": schemas(),
        },
    }


def schemas() -> dict[str, Any]:
    """JSON Schema of each event by its name, and of the rows of lists."""
    events = [*get_args(ev.ClientEvent), *get_args(ev.ServerEvent)]
    made = {tag_of(event): _object(event) for event in events}
    return made | {row.__name__: _object(row) for row in (ev.GroupRow, ev.MemberRow)}


def tag_of(event: type[msgspec.Struct]) -> str:
    """The event's name, as its `t` has it; of a row, the name of its shape."""
    return str(event.__struct_config__.tag or event.__name__)


def _channel(events: Sequence[type[ev.Event]]) -> dict[str, Any]:
    headers = {
        "type": "object",
        "properties": {"Sec-WebSocket-Protocol": {"type": "string", "const": ev.SUBPROTOCOL_JSON}},
        "required": ["Sec-WebSocket-Protocol"],
    }
    # A query would be where a token ends up in logs: it is refused.
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    return {
        "address": "/v1/socket",
        "title": "One client's connection",
        "description": f"One JSON object a text frame; from a client at most {FRAME_BYTES_MAX:,} bytes.",
        "messages": {tag_of(event): {"$ref": MESSAGES.format(tag_of(event))} for event in events},
        "bindings": {"ws": {"method": "GET", "query": nothing, "headers": headers, "bindingVersion": "0.1.0"}},
    }


def _operations() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for event in get_args(ev.ClientEvent):
        made[tag_of(event)] = operation = {
            "action": "receive",
            "channel": {"$ref": CHANNEL},
            "messages": _references(event),
        }
        if event in REPLIES:
            operation["reply"] = {"channel": {"$ref": CHANNEL}, "messages": _references(*REPLIES[event])}
    made["unasked"] = {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "summary": "What comes by itself.",
        "messages": _references(*UNASKED),
    }
    return made


def _references(*events: type[ev.Event]) -> list[dict[str, str]]:
    return [{"$ref": f"{CHANNEL}/messages/{tag_of(event)}"} for event in events]


def _message(event: type[ev.Event], examples: Sequence[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tag_of(event), "payload": {"$ref": SCHEMAS.format(tag_of(event))}}
    said = _said(event)
    if said:
        made["summary"] = said
    if examples:
        made["examples"] = [{"payload": example} for example in examples]
    return made


def _object(struct: type[msgspec.Struct]) -> dict[str, Any]:
    tag = struct.__struct_config__.tag
    properties: dict[str, Any] = {"t": {"const": tag}} if tag else {}
    required = ["t"] if tag else []
    for field in msgspec.structs.fields(struct):
        properties[field.encode_name] = schema = _schema(field.type)
        if field.required:
            required.append(field.encode_name)
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            schema["default"] = msgspec.json.decode(default) if isinstance(default, msgspec.Raw) else default
    made = {"type": "object", "properties": properties, "required": required}
    said = _said(struct)
    return {"description": said} | made if said else made


def _said(struct: type[msgspec.Struct]) -> str:
    """What the code says of it; nothing where it only says what an event is."""
    return " ".join((struct.__dict__.get("__doc__") or "").split())


def _schema(hint: Any) -> dict[str, Any]:
    """A field's type, as JSON Schema has it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return {"anyOf": [_schema(part) for part in inner]}
    if origin is list:
        return {"type": "array", "items": _schema(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return {"$ref": SCHEMAS.format(tag_of(hint))}
    return dict(_PLAIN[hint])


_PLAIN: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    msgspec.Raw: {},
}
