"""A send: one request for one entry, keyed so that it has one outcome however often it is asked."""

from typing import Final, TypeAlias

import msgspec

from folkmoot.model.ids import DeviceId, GroupId, SendId, UserId

SKIP: Final = "skip"
"""The kind of a send that asks for nothing but that its id be refused, unless it is in the log already."""


class Send(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a member asks to have appended.

    `join` is the number of the join under which it was made (0: not a member yet); `after` the send before it in the
    same outbox and group while that is unanswered. `body` is canonical JSON of the kind's body, `b""` for `skip`.
    """

    group: GroupId
    sender: UserId
    device: DeviceId
    send_id: SendId
    join: int
    after: SendId | None
    kind: str
    body: bytes


SendKey: TypeAlias = tuple[UserId, SendId]
"""Within one group, what an outcome is kept under: never the device, so that an outbox may move."""


class Appended(msgspec.Struct, frozen=True, tag="appended"):
    """The send is the entry `seq`, whose `digest` and `salt` (None once erased) tell another body from the same."""

    seq: int
    kind: str
    digest: bytes
    salt: bytes | None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The send is not in the log and never will be."""

    code: str


Outcome: TypeAlias = Appended | Refused
