"""The body of each kind of entry: its shape, its bounds, and its one canonical JSON."""

import json
from typing import Final, Literal, TypeAlias

import msgspec

from folkmoot.model import entry as kinds
from folkmoot.model.ids import UserId, is_name

TEXT_CHARS_MAX: Final = 8_000
DATA_BYTES_MAX: Final = 16_384
GROUP_NAME_CHARS_MAX: Final = 200
USERS_PER_ENTRY_MAX: Final = 1_000
TYPE_CHARS_MAX: Final = 100


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Message(_Body, frozen=True):
    """Text, or an application's own `type` and `data`; text beside a type is its fallback for people."""

    text: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class Created(_Body, frozen=True):
    """`history`: what a newcomer sees; `entry`: may anyone who knows the id join; `members`: beside the creator."""

    name: str
    history: Literal["join", "all"] = "join"
    entry: Literal["invite", "open"] = "invite"
    members: tuple[UserId, ...] = ()


class Renamed(_Body, frozen=True):
    name: str


class Deleted(_Body, frozen=True):
    pass


class Joined(_Body, frozen=True):
    pass


class Added(_Body, frozen=True):
    users: tuple[UserId, ...]


class Left(_Body, frozen=True):
    pass


class Removed(_Body, frozen=True):
    user: UserId


class RoleChanged(_Body, frozen=True):
    user: UserId
    role: Literal["owner", "admin", "member"]


Body: TypeAlias = Message | Created | Renamed | Deleted | Joined | Added | Left | Removed | RoleChanged

_TYPES: Final[dict[str, type[Body]]] = {
    kinds.MESSAGE: Message,
    kinds.CREATED: Created,
    kinds.RENAMED: Renamed,
    kinds.DELETED: Deleted,
    kinds.JOINED: Joined,
    kinds.ADDED: Added,
    kinds.LEFT: Left,
    kinds.REMOVED: Removed,
    kinds.ROLE: RoleChanged,
}
_DECODERS: Final = {kind: msgspec.json.Decoder(shape) for kind, shape in _TYPES.items()}
_ENCODER: Final = msgspec.json.Encoder()


class BodyInvalid(ValueError):
    """The body is not one its kind can have. `code` is a code of the error table, `detail` says what is wrong."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse_body(kind: str, raw: bytes) -> Body:
    """The body of an entry of `kind`, checked. Raises BodyInvalid (`unknown_kind`, `bad_body`, `too_long`)."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise BodyInvalid("unknown_kind", f"no entry kind {kind[:40]!r}")
    try:
        body = decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid("bad_body", str(error)[:200]) from error
    _check(body)
    return body


def canonical(body: Body) -> bytes:
    """The JSON that is stored and hashed: the same request always gives the same bytes."""
    return _ENCODER.encode(body)


def _check(body: Body) -> None:
    match body:
        case Message():
            _check_message(body)
        case Created():
            _check_group_name(body.name)
            _check_users(body.members)
        case Renamed():
            _check_group_name(body.name)
        case Added():
            if not body.users:
                raise BodyInvalid("bad_body", "users is empty")
            _check_users(body.users)
        case Removed() | RoleChanged():
            _check_users((body.user,))
        case Deleted() | Joined() | Left():
            pass


def _check_message(body: Message) -> None:
    if len(body.text) > TEXT_CHARS_MAX:
        raise BodyInvalid("too_long", f"text has {len(body.text)} characters, at most {TEXT_CHARS_MAX}")
    data = bytes(body.data)
    if len(data) > DATA_BYTES_MAX:
        raise BodyInvalid("too_long", f"data has {len(data)} bytes, at most {DATA_BYTES_MAX}")
    if len(body.type) > TYPE_CHARS_MAX:
        raise BodyInvalid("too_long", f"type has {len(body.type)} characters, at most {TYPE_CHARS_MAX}")
    if not body.text and not body.type:
        raise BodyInvalid("bad_body", "a message has a text, or a type")
    if data and not body.type:
        raise BodyInvalid("bad_body", "data needs a type")
    if data:
        # Stored as it came, put into text frames, and read by others' parsers: what only some of them take would end
        # the connections of a whole group again and again. So it has to be UTF-8, and JSON all the way down, to two.
        try:
            json.loads(data.decode("utf-8"))
            msgspec.json.decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BodyInvalid("bad_body", "data is not JSON in UTF-8, or nested too deeply") from error


def _check_group_name(name: str) -> None:
    if not name.strip() or len(name) > GROUP_NAME_CHARS_MAX:
        raise BodyInvalid("bad_body", f"a group's name has 1 to {GROUP_NAME_CHARS_MAX} characters")


def _check_users(users: tuple[UserId, ...]) -> None:
    if len(users) > USERS_PER_ENTRY_MAX:
        raise BodyInvalid("too_long", f"{len(users)} users in one entry, at most {USERS_PER_ENTRY_MAX}")
    for user in users:
        if not is_name(user):
            raise BodyInvalid("bad_body", f"{user[:40]!r} cannot name a user")
    if len(set(users)) != len(users):
        raise BodyInvalid("bad_body", "a user is named twice")
