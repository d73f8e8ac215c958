"""Every subject of the bus, and every message on it: the whole wiring between roles.

| subject | published by | heard by | carries |
| --- | --- | --- | --- |
| `submit.<partition of the group>` | gateway (request) | every router that may own it | Submit, answered by Answer |
| `entries.<partition of the group>` | router | delivery | Stored |
| `heads.<partition of the group>` | router | delivery | Heads: what moved in the last seconds, each second |
| `announce.<partition of the group>` | gateway (request) | delivery | Announce, answered by Announced |
| `online.<partition of the user>` | gateway (request) | delivery | Online, answered by Announced |
| `hints.<partition of the user>` | delivery, router | delivery, of the user | Hint: someone joined or was added |
| `pointers.<partition of the user>` | gateway | delivery | PointerMoved |
| `push.<edge>` | delivery | that gateway | Push: entries, heads, a hint or a pointer |
| `recall.all` | a delivery that has begun to own partitions | every gateway | Recall: announce again |
| `writes.store` | who only reads the store's file (request) | who writes it | SharedWrite, answered by Written |
| `alive.<role>` | every process of the role, each half second | whoever deals partitions by them | Alive |
| `standing.all` | the gateway where it was changed | every gateway | StandingMoved: look again at who may be here |
"""

from typing import Final, TypeAlias

import msgspec

from folkmoot.model.entry import Entry
from folkmoot.model.ids import DeviceId, GroupId, UserId, partition_of
from folkmoot.model.send import Send
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.ports.store import MovedPointer

RECALL: Final = "recall.all"
STANDING: Final = "standing.all"
WRITES: Final = "writes.store"


def submit(group: GroupId) -> str:
    return f"submit.{partition_of(group)}"


def entries(group: GroupId) -> str:
    return f"entries.{partition_of(group)}"


def heads(partition: int) -> str:
    return f"heads.{partition}"


def announce(partition: int) -> str:
    return f"announce.{partition}"


def online(partition: int) -> str:
    return f"online.{partition}"


def hints(user: UserId) -> str:
    return f"hints.{partition_of(user)}"


def pointers(user: UserId) -> str:
    return f"pointers.{partition_of(user)}"


def push(edge: str) -> str:
    return f"push.{edge}"


def alive(role: str) -> str:
    return f"alive.{role}"


class Submit(msgspec.Struct, frozen=True, array_like=True):
    """A send, as a gateway has checked it, and when it came: the wall clock there, 0 where nobody noted it.

    `trace` is the context of the span that this goes on from (`ports/traces.py`), where the send was sampled.
    """

    send: Send
    submitted_ms: int = 0
    trace: str = ""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a router says of a send: its `seq` where it is in the log, else why not, and whether that is for good."""

    group: GroupId
    send_id: str
    seq: int | None = None
    code: str = ""
    definite: bool = False
    detail: str = ""
    retry_after_ms: int = 0


class Stored(msgspec.Struct, frozen=True, tag="entries", array_like=True):
    """Entries of one group that have been appended, in order and without a gap.

    `submitted_ms` is when the first of the sends that made them came to its gateway, by the clock there; 0: unknown.
    `traces` are the contexts of sampled sends' spans, by the seq of their entries; None: no send was sampled.
    """

    group: GroupId
    entries: list[Entry]
    submitted_ms: int = 0
    traces: dict[int, str] | None = None


class Heads(msgspec.Struct, frozen=True, tag="heads", array_like=True):
    """The seq at the head of some groups."""

    heads: dict[GroupId, int]


class Announce(msgspec.Struct, frozen=True, array_like=True):
    """The edge has members of these groups online, its feeds standing at these seqs; of `gone` no longer.

    A feed that is only beginning stands at no seq yet: it reads the store's head after this is acknowledged.
    `whole`: partitions of which this is all there is.
    """

    edge: str
    groups: dict[GroupId, int | None]
    gone: list[GroupId] = []
    whole: list[int] = []


class Online(msgspec.Struct, frozen=True, array_like=True):
    """The edge has these users connected; `gone` no longer. `whole`: partitions of which these are all."""

    edge: str
    users: list[UserId]
    gone: list[UserId] = []
    whole: list[int] = []


class Announced(msgspec.Struct, frozen=True, array_like=True):
    """The owner's incarnation: when it changes, everything has to be announced again."""

    incarnation: str


class Recall(msgspec.Struct, frozen=True, array_like=True):
    """A delivery with this incarnation asks for announcements: of these partitions, or of all."""

    incarnation: str
    partitions: list[int] | None = None


class Alive(msgspec.Struct, frozen=True, array_like=True):
    """An instance of a role lives. `leaving`: it gives up its partitions now, and does not come back.

    `home` says which store it serves: whoever serves another is none of those that partitions are dealt among.
    """

    instance: str
    leaving: bool = False
    home: str = ""


class StandingMoved(msgspec.Struct, frozen=True, array_like=True):
    """A user was signed out or deactivated, or an API key revoked: a connection of theirs may no longer be good.

    To every gateway and not by the user's roster: it is rare, and has to arrive though a roster was lost.
    """

    user: UserId = ""
    key: str = ""


class Hint(msgspec.Struct, frozen=True, tag="hint", array_like=True):
    """These users have been added to, or have joined, the group at `seq`."""

    group: GroupId
    users: list[UserId]
    seq: int


class PointerMoved(msgspec.Struct, frozen=True, tag="pointer", array_like=True):
    """The user's read pointer in the group is at `seq`.

    `messages` are those up to there, or up to the membership's start where that is later.
    """

    group: GroupId
    user: UserId
    seq: int
    messages: int


class MovePointers(msgspec.Struct, frozen=True, tag="pointers", array_like=True):
    """Raise these read pointers; none: say whether the store takes writes."""

    pointers: list[MovedPointer]


class PutProfile(msgspec.Struct, frozen=True, tag="profile", array_like=True):
    profile: Profile


class SetActive(msgspec.Struct, frozen=True, tag="active", array_like=True):
    user: UserId
    active: bool
    at_ms: int


class SignOut(msgspec.Struct, frozen=True, tag="sign_out", array_like=True):
    user: UserId
    device: DeviceId
    at_ms: int


class PutKey(msgspec.Struct, frozen=True, tag="key", array_like=True):
    key: ApiKey


class RevokeKey(msgspec.Struct, frozen=True, tag="revoke", array_like=True):
    key: str
    at_ms: int


SharedWrite: TypeAlias = MovePointers | PutProfile | SetActive | SignOut | PutKey | RevokeKey
"""What comes on `writes.store`: each safe to repeat."""


class Written(msgspec.Struct, frozen=True, array_like=True):
    """What became of a SharedWrite: `error` is "", `full`, `away` (both: nothing happened) or `unknown`."""

    error: str = ""
    detail: str = ""


Push: TypeAlias = Stored | Heads | Hint | PointerMoved
"""What comes on `push.<edge>`."""
