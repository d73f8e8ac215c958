"""What a client keeps across restarts: its places in groups, its outbox, and whose it is."""

import msgspec

from folkmoot.model.ids import GroupId, SendId, UserId


class KeptPlace(msgspec.Struct, frozen=True, kw_only=True):
    """How far the application has come in a group. `join` is the user's own join there, 0 if none lasts."""

    position: str
    seq: int
    join: int = 0
    name: str = ""
    role: str = ""


class KeptSend(msgspec.Struct, frozen=True, kw_only=True):
    """A send without an answer. `group` is "" where it makes one; `join` None while the SDK has yet to learn it.

    `body` is the JSON that is sent: the same bytes each time, or the same id would be refused as another send.
    """

    send_id: SendId
    group: GroupId
    kind: str
    join: int | None
    body: bytes


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as a store gives it back. `outbox` is in the order in which the sends were made."""

    user: UserId = ""
    places: dict[GroupId, KeptPlace] = {}
    outbox: list[KeptSend] = []


class Changes(msgspec.Struct, kw_only=True):
    """What a commit changes. A place that is None is forgotten; a send is made, changed, then settled.

    One that is made under an id that is there already takes the place of that one, as the last of all.
    """

    user: UserId | None = None
    places: dict[GroupId, KeptPlace | None] = {}
    made: list[KeptSend] = []
    changed: list[KeptSend] = []
    settled: list[SendId] = []

    def __bool__(self) -> bool:
        return bool(self.places or self.made or self.changed or self.settled or self.user is not None)
