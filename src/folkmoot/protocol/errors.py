"""Every error code: whether it is definite, what it means, what a client does. `spec/errors.toml` is made from this."""

import enum
from typing import Final

import msgspec


class Certainty(enum.Enum):
    """What a code says of the request that got it."""

    REFUSED = "refused"
    """Definite: it did not happen and never will under this send id."""

    UNDECIDED = "undecided"
    """Indefinite: it may have happened, or may yet. The same request with the same send id is safe and settles it."""

    FAILED = "failed"
    """Of a request that makes no entry: it did not happen; it may be asked again as the code says."""

    CLOSED = "closed"
    """The connection ends; nothing is said of sends that have no answer yet."""


class ErrorCode(msgspec.Struct, frozen=True):
    """One row of the table. `close` is the WebSocket close code, 0 where the connection stays open."""

    name: str
    certainty: Certainty
    meaning: str
    client: str
    close: int = 0


def _refused(name: str, meaning: str, client: str = "show it to the user; a new try is a new send id") -> ErrorCode:
    return ErrorCode(name, Certainty.REFUSED, meaning, client)


def _undecided(name: str, meaning: str, client: str) -> ErrorCode:
    return ErrorCode(name, Certainty.UNDECIDED, meaning, client)


def _failed(name: str, meaning: str, client: str) -> ErrorCode:
    return ErrorCode(name, Certainty.FAILED, meaning, client)


def _closed(name: str, close: int, meaning: str, client: str) -> ErrorCode:
    return ErrorCode(name, Certainty.CLOSED, meaning, client, close)


_AGAIN = "send it again with the same send id after retry_after_ms"
_RECONNECT = "connect again after reconnect_after_ms, give positions, send the outbox again"
_BUG = "mend the client; connecting again with the same frames meets the same end"

# Close codes: 4000 to 4099 connect again; 4100 to 4199 with a new token; 4200 to 4299 do not connect again unmended.
CODES: Final[dict[str, ErrorCode]] = {
    code.name: code
    for code in (
        _refused("bad_body", "the body is not one that its kind can have"),
        _refused("too_long", "a text, a name, a list or data is over its bound"),
        _refused("unknown_kind", "no entry kind of this name can be sent"),
        _refused(
            "send_id_conflict", "this send id has an outcome for another body", "use a new send id for a new body"
        ),
        _refused("membership_over", "the membership under which it was made has ended"),
        _refused("not_allowed", "the sender's role, or what the token or the API key is for, does not allow it"),
        _refused("already_member", "all who were to be added are members"),
        _refused("not_a_member", "the user it is about is not a member"),
        _refused("last_owner", "the last owner cannot leave, be removed or step down while others are members"),
        _refused("group_full", "the group would pass its bound of members"),
        _refused("skipped", "the sender gave it up with `skip`", "nothing: it was asked for"),
        _refused(
            "storage_full",
            "the store has no room; the refusal itself is stored",
            "tell the user; try later as a new send",
        ),
        _undecided(
            "not_taken",
            "no such group, or none that the sender may write to; nothing was decided",
            "ask for the group again; give the send up with `skip` as a member, or drop it",
        ),
        _undecided("out_of_turn", "the send named in `after` has no outcome yet", "send again from that one on"),
        _undecided("slow_down", "too many refusals for this sender in this group; nothing was decided", _AGAIN),
        _undecided("rate_limited", "this connection or API key asks faster than its rate; nothing was decided", _AGAIN),
        _undecided(
            "window_full", "too many sends of this connection wait for an answer", "send again when some are answered"
        ),
        _undecided("no_answer", "no router answered in time", _AGAIN),
        _undecided("store_unknown", "the store did not say whether it took the write", _AGAIN),
        _undecided("store_away", "the store cannot be reached or has no room even for refusals", _AGAIN),
        _undecided("draining", "the server is shutting down", "send it again after connecting again"),
        _failed(
            "no_such_group", "no such group, or none of which the user has anything left to receive", "forget the group"
        ),
        _failed("no_such_entry", "no entry of this number, or none that the user may see", "drop the reference"),
        _failed("no_such_user", "nothing is known of this user", "nothing: it is the answer"),
        _failed("no_such_key", "there is no API key of this id", "nothing: it is the answer"),
        _failed("not_found", "nothing is served at this address", _BUG),
        _failed("method_not_allowed", "what is at this address does not take this method", _BUG),
        _failed("bad_cursor", "the text given as a cursor is not one", "begin at the first page again"),
        _failed("bad_request", "the event's fields are not what the protocol says", _BUG),
        _failed("bad_position", "the text given as a position is not one", "drop it and ask for a snapshot"),
        _failed("bad_limit", "a limit is not between 1 and its bound", _BUG),
        _failed("too_many", "a frame names more groups than its bound", "split it"),
        _failed(
            "unavailable",
            "the store did not answer; the same request may be made again",
            "ask again after retry_after_ms",
        ),
        _closed("server_draining", 4000, "the server is shutting down", _RECONNECT),
        _closed("server_error", 4001, "a fault of the server", _RECONNECT),
        _closed("idle", 4002, "nothing was heard for two intervals after a ping", _RECONNECT),
        _closed("hello_timeout", 4003, "no valid hello within its time", _RECONNECT),
        _closed("too_many_connections", 4004, "the server is at its bound of connections", _RECONNECT),
        _closed("token_expired", 4100, "the token's time is over", "get a new token, then connect again"),
        _closed("token_invalid", 4101, "the token is not one of this server's", "get another token"),
        _closed("signed_out", 4102, "the user signed out after the token was made", "sign in again: get a new token"),
        _closed(
            "key_revoked", 4103, "the API key, or the one that had the token made, was revoked", "get another token"
        ),
        _closed("not_json", 4200, "the frame is not JSON in UTF-8", _BUG),
        _closed("bad_event", 4201, "the frame is no event of this protocol", _BUG),
        _closed("frame_too_large", 4202, "the frame is over its bound", _BUG),
        _closed("out_of_state", 4203, "the event is not allowed at this point of the connection", _BUG),
        _closed("flood", 4204, "events came in far over their rate", "wait a minute; mend the client"),
        _closed("unsupported_version", 4205, "no protocol version in common", "update the client"),
        _closed("deactivated", 4206, "the user is deactivated", "tell the user; no other token helps"),
    )
}


def is_definite(name: str) -> bool:
    """Whether the code settles a send for good. An unknown code, of a newer server, settles nothing."""
    code = CODES.get(name)
    return code is not None and code.certainty is Certainty.REFUSED
