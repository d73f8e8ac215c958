"""`/v1/groups/{group}/messages`: send a message, once, however often it is asked."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.params import RawBody

from folkmoot.gateway.rest.described import SENDS, GroupPath, RequiredKey, told
from folkmoot.gateway.rest.desk import Accepted, desk_of, json_response, read_body
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` (up to 8,000 characters), or an application's `type` and `data` (any JSON, up to 16,384 bytes), or both.

    `join`: the number of the join under which it was made, for an outbox that outlives a membership. `after`: the key
    of the message before it in the same outbox, while that has no answer.
    """

    text: str = ""
    type: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    join: int | None = None
    after: str | None = None


_NEW_MESSAGE: Final = msgspec.json.Decoder(NewMessage)


@post(
    "/groups/{group:str}/messages",
    **told("Send a message", takes=NewMessage, gives=Accepted, refuses=SENDS, status=201),
)
async def send_message(
    request: Request[Any, Any, Any], group: GroupPath, body: RawBody, key: RequiredKey
) -> Response[bytes]:
    """Answered once it is durable, with its number. Repeat it with the same key until there is a definite answer."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    asked = read_body(body, _NEW_MESSAGE)
    message = bodies.Message(text=asked.text, type=asked.type)
    if asked.data is not msgspec.UNSET:
        message = msgspec.structs.replace(message, data=asked.data)
    accepted = await desk.ask(caller, group, kinds.MESSAGE, message, send_id=key, join=asked.join, after=asked.after)
    return json_response(accepted, 201)


HANDLERS: Final = (send_message,)
