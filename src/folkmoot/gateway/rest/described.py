"""What a handler says of itself beside its code: the OpenAPI document is made from it."""

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from folkmoot.protocol.limits import LIST_ROWS_MAX

JSON: Final = "application/json"
TAKES: Final = "takes"
GIVES: Final = "gives"
REFUSES: Final = "refuses"
MEDIA: Final = "media"

ALWAYS: Final = ("token_invalid", "token_expired", "not_allowed", "bad_request", "rate_limited", "unavailable")
"""Codes that every call can be answered with."""

SENDS: Final = (
    "no_such_group", "membership_over", "send_id_conflict", "bad_body", "too_long", "skipped", "storage_full",
    "out_of_turn", "slow_down", "no_answer", "store_unknown", "store_away", "draining",
)  # fmt: skip
"""Codes of whatever makes an entry."""


def told(
    summary: str,
    *,
    gives: type[msgspec.Struct],
    takes: type[msgspec.Struct] | None = None,
    refuses: tuple[str, ...] = (),
    status: int = 200,
    media: str = JSON,
) -> dict[str, Any]:
    """Arguments of a handler's decorator: the shapes of request and answer, and the codes it refuses with.

    `media`: what the answer is, where `gives` only says what is in it.
    """
    return {
        "summary": summary,
        "opt": {TAKES: takes, GIVES: gives, REFUSES: (*ALWAYS, *refuses), MEDIA: media},
        "status_code": status,
    }


Key: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=128,
        description="The id of this request: sent again under the same one, it is answered as the first time and"
        " happens once. Left out, the server makes one, and a request whose answer was lost cannot be told apart.",
    ),
]
RequiredKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=128,
        description="The id of this request, of your own making and unguessable: 1 to 128 printable characters without"
        " a space. Sent again under the same one, it is answered as the first time and happens once, for as long as"
        " the group's log is kept.",
    ),
]
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=LIST_ROWS_MAX, description="How many at most.")]
GroupPath: TypeAlias = Annotated[str, PathParameter(description="The id of a group.")]
UserPath: TypeAlias = Annotated[str, PathParameter(description="The id of a user.")]
