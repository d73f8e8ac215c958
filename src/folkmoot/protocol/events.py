"""The events that cross the wire between client and gateway. `spec/protocol.md` says what each means."""

from typing import Final, TypeAlias

import msgspec

from folkmoot.protocol.limits import WINDOW_ENTRIES_DEFAULT

VERSION: Final = 1
SUBPROTOCOL_JSON: Final = "folkmoot.v1.json"
_EMPTY_BODY: Final = msgspec.Raw(b"{}")


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """Any event. Fields that a reader does not know are ignored, so that events can grow."""


# From the client.


class Hello(Event, tag="hello", frozen=True, kw_only=True):
    token: str
    versions: list[int]
    device: str = ""
    client: str = ""
    window: int = WINDOW_ENTRIES_DEFAULT


class Refresh(Event, tag="refresh", frozen=True, kw_only=True):
    token: str


class Resume(Event, tag="resume", frozen=True, kw_only=True):
    """Positions by group, "" for none. `others`, on the last of them: also bring all my other groups.

    A group without a position starts at its head (`fresh` "head") or at the user's join ("join").
    """

    groups: dict[str, str] = {}
    others: bool = False
    fresh: str = "head"


class Ack(Event, tag="ack", frozen=True, kw_only=True):
    """By group, the seq up to and with which everything has been applied and committed."""

    groups: dict[str, int]


class Send(Event, tag="send", frozen=True, kw_only=True):
    """A request for one entry, or a `skip`. `group` is empty when it makes a group; `join` is 0 for a non-member."""

    id: str
    kind: str
    group: str = ""
    join: int = 0
    after: str | None = None
    body: msgspec.Raw = _EMPTY_BODY


class Read(Event, tag="read", frozen=True, kw_only=True):
    """A page of history after a seq, forwards, or before one, backwards (the page is in rising order all the same)."""

    ref: str
    group: str
    after: int | None = None
    before: int | None = None
    limit: int = 50


class ListGroups(Event, tag="list_groups", frozen=True, kw_only=True):
    """My groups in the order of their ids, after `after`."""

    ref: str
    after: str = ""
    limit: int = 100


class ListMembers(Event, tag="list_members", frozen=True, kw_only=True):
    """A group's members in the order of their ids, after `after`."""

    ref: str
    group: str
    after: str = ""
    limit: int = 100


class MarkRead(Event, tag="mark_read", frozen=True, kw_only=True):
    """Move my read pointer in a group to a seq; it never goes back."""

    group: str
    seq: int


class Ping(Event, tag="ping", frozen=True, kw_only=True):
    ref: str = ""


# From the server.


class Welcome(Event, tag="welcome", frozen=True, kw_only=True):
    user: str
    device: str
    version: int
    time_ms: int
    ping_interval_ms: int
    token_expires_ms: int | None = None


class Refreshed(Event, tag="refreshed", frozen=True, kw_only=True):
    token_expires_ms: int | None = None


class EntryEvent(Event, tag="entry", frozen=True, kw_only=True):
    """One entry. `body` is null once erased. A kind that the client does not know moves its position all the same."""

    group: str
    seq: int
    position: str
    kind: str
    sender: str
    device: str
    id: str
    time_ms: int
    messages: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class EntryRow(EntryEvent, tag=False, frozen=True, kw_only=True):
    """The same where nothing has to say what it is, as in the pages of REST. `body` is null once erased."""

    body: msgspec.Raw


class Snapshot(Event, tag="snapshot", frozen=True, kw_only=True):
    """A group as it is at `position`, where the client now stands. `join` 0: the membership is over."""

    group: str
    position: str
    seq: int
    name: str
    join: int
    role: str
    members: int
    messages: int
    unread: int
    read: int
    history: str
    entry: str


class JoinedEvent(Event, tag="joined", frozen=True, kw_only=True):
    """A membership starts: the client's position in the group is now `position`, the number before its first entry."""

    group: str
    position: str
    seq: int
    join: int
    name: str = ""
    role: str = "member"


class Recovered(Event, tag="recovered", frozen=True, kw_only=True):
    """All that was missed has been sent; from here on the group is live."""

    group: str
    position: str
    seq: int


class Reset(Event, tag="reset", frozen=True, kw_only=True):
    """The position given is not one of this log: drop what is held of the group; a snapshot follows."""

    group: str
    reason: str


class Ended(Event, tag="ended", frozen=True, kw_only=True):
    """The membership is over and all of it has been sent. From now on the group looks like one that does not exist."""

    group: str
    seq: int


class Behind(Event, tag="behind", frozen=True, kw_only=True):
    """The client reads too slowly: it is off the live feed and brought up from the log, at its own pace."""

    group: str
    seq: int
    head: int


class ResumeDone(Event, tag="resumed", frozen=True, kw_only=True):
    """Everything the `resume` with `others` asked for is live, ended or reset."""

    groups: int


class Accepted(Event, tag="accepted", frozen=True, kw_only=True):
    """The send is the entry `seq`, for good."""

    id: str
    group: str
    seq: int


class RefusedEvent(Event, tag="refused", frozen=True, kw_only=True):
    """The send is not in the log and never will be."""

    id: str
    group: str
    code: str
    detail: str = ""


class Undecided(Event, tag="undecided", frozen=True, kw_only=True):
    """Nothing is known of the send yet: ask again with the same id after `retry_after_ms`."""

    id: str
    group: str
    code: str
    detail: str = ""
    retry_after_ms: int = 0


class Page(Event, tag="page", frozen=True, kw_only=True):
    """Entries in rising order; `more`: there are others in the direction asked for that the user may see."""

    ref: str
    group: str
    entries: list[EntryEvent]
    more: bool
    head: int


class GroupRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    group: str
    name: str
    role: str
    join: int
    members: int
    seq: int
    messages: int
    unread: int


class GroupList(Event, tag="groups", frozen=True, kw_only=True):
    ref: str
    groups: list[GroupRow]
    next: str | None = None


class MemberRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    user: str
    role: str
    join: int


class MemberList(Event, tag="members", frozen=True, kw_only=True):
    ref: str
    group: str
    members: list[MemberRow]
    next: str | None = None


class Pointer(Event, tag="pointer", frozen=True, kw_only=True):
    """My read pointer in a group stands at `read`, set by this device or another of mine."""

    group: str
    read: int
    unread: int


class Failed(Event, tag="error", frozen=True, kw_only=True):
    """A request other than a send did not happen. `ref` is the request's, or the group's id where it has none."""

    code: str
    ref: str = ""
    detail: str = ""
    retry_after_ms: int = 0


class Goodbye(Event, tag="goodbye", frozen=True, kw_only=True):
    """The last event of a connection that the server ends."""

    code: str
    detail: str = ""
    reconnect_after_ms: int | None = None


class Pong(Event, tag="pong", frozen=True, kw_only=True):
    ref: str = ""


class UnknownEvent(Event, tag="unknown", frozen=True, kw_only=True):
    """An event of a newer server: nothing to do with it but to go on."""

    name: str


ClientEvent: TypeAlias = Hello | Refresh | Resume | Ack | Send | Read | ListGroups | ListMembers | MarkRead | Ping
ServerEvent: TypeAlias = (
    Welcome
    | Refreshed
    | EntryEvent
    | Snapshot
    | JoinedEvent
    | Recovered
    | Reset
    | Ended
    | Behind
    | ResumeDone
    | Accepted
    | RefusedEvent
    | Undecided
    | Page
    | GroupList
    | MemberList
    | Pointer
    | Failed
    | Goodbye
    | Pong
)
