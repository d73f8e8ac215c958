"""Requests for entries, checked as far as a client can before anything is kept or transmitted."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from folkmoot.client.errors import SendRefused
from folkmoot.client.kept import KeptSend
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.ids import NAME_CHARS_MAX, GroupId, SendId, UserId, is_name
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.protocol.limits import FRAME_BYTES_MAX

_SURELY_FITS_BYTES: Final = FRAME_BYTES_MAX // 2
_LONGEST_NAME: Final = "x" * NAME_CHARS_MAX

History = Literal["join", "all"]
EntryRule = Literal["invite", "open"]
Role = Literal["owner", "admin", "member"]


def message(text: str, type: str, data: Any) -> bodies.Message:
    """The body of a message. Raises SendRefused (`bad_body`) where `data` is not something that JSON can say."""
    if data is None:
        return bodies.Message(text=text, type=type)
    try:
        return bodies.Message(text=text, type=type, data=msgspec.Raw(msgspec.json.encode(data)))
    except (TypeError, ValueError, RecursionError) as error:
        raise SendRefused("bad_body", f"data: {error}"[:200]) from error


def creation(name: str, members: Sequence[UserId], history: History, entry: EntryRule) -> bodies.Created:
    """The body that makes a group; `members` beside the one who makes it."""
    return bodies.Created(name=name, history=history, entry=entry, members=tuple(members))


def prepared(send_id: SendId, group: GroupId, kind: str, body: bodies.Body, join: int | None) -> KeptSend:
    """The send as the outbox keeps it. Raises SendRefused: the server would refuse it, or end the connection."""
    if not is_name(send_id):
        raise SendRefused("bad_request", "a send id is 1 to 128 printable characters without white space")
    if (group or kind != kinds.CREATED) and not is_name(group):
        raise SendRefused("no_such_group", "that cannot name a group", send_id=send_id)
    try:
        raw = bodies.canonical(body)
        bodies.parse_body(kind, raw)
    except bodies.BodyInvalid as error:
        raise SendRefused(error.code, error.detail, send_id=send_id) from error
    except (UnicodeEncodeError, TypeError) as error:
        raise SendRefused("bad_body", f"not text: {error}"[:200], send_id=send_id) from error
    if len(raw) > _SURELY_FITS_BYTES:
        frame = ev.Send(id=send_id, kind=kind, group=group, join=2**62, after=_LONGEST_NAME, body=msgspec.Raw(raw))
        if len(JSON.encode(frame)) > FRAME_BYTES_MAX:
            raise SendRefused("too_long", f"more than fits a frame of {FRAME_BYTES_MAX} bytes", send_id=send_id)
    return KeptSend(send_id=send_id, group=group, kind=kind, join=join, body=raw)
