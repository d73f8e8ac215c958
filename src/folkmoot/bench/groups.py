"""The groups of a measure, made through the protocol: each by its first member, with the others in the request."""

import json
import socket
import time
from typing import Any, Final

import msgspec

from folkmoot.bench.wire import client_frame, event_frame, next_frame, upgrade_request
from folkmoot.gateway.identity import mint
from folkmoot.model.ids import group_id
from folkmoot.protocol import events as ev

ANSWER_S_MAX: Final = 30.0
TOKEN_LIFETIME_S: Final = 3_600
ENTRY_USERS_MAX: Final = 1_000
"""Users that one entry makes members: a larger group is made in steps."""

ANSWERS: Final = ("accepted", "refused", "undecided", "error", "goodbye")


class GroupsRefused(Exception):
    """The server did not make a group; the text is what it said."""


def user_named(number: int) -> str:
    """The users of a measure are numbered from 1."""
    return f"user-{number}"


def create_groups(host: str, port: int, secret: str, *, count: int, members: int, alone: bool = False) -> list[str]:
    """Make `count` groups of `members`; their ids. Group `g` has the users from `g * members + 1` on.

    `alone`: the first is the only one, and whoever asks may join. Raises GroupsRefused, OSError.
    """
    now_ms = time.time_ns() // 1_000_000
    ids = []
    for number in range(count):
        users = [user_named(number * members + n + 1) for n in range(members)]
        send_id = f"group-{number}"
        token = mint(secret.encode(), users[0], lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms)
        body = {"name": f"group {number}", "members": users[1:ENTRY_USERS_MAX], "history": "join", "entry": "invite"}
        if alone:
            body |= {"members": [], "entry": "open"}
        event = {"t": "send", "id": send_id, "kind": "group.created", "body": body}
        group = group_id(users[0], send_id)
        steps = () if alone else range(ENTRY_USERS_MAX, members, ENTRY_USERS_MAX)
        later = [users[n : n + ENTRY_USERS_MAX] for n in steps]
        events = [event, *(_added(group, f"{send_id}-{n}", more) for n, more in enumerate(later))]
        for event in events:
            answer = _asked(host, port, token, event)
            if answer["t"] != "accepted":
                raise GroupsRefused(json.dumps(answer))
        ids.append(group)
    return ids


def join_of(n: int) -> int:
    """The number of the entry that made the `n`th (from 0) of a group's users a member."""
    return 1 + n // ENTRY_USERS_MAX


def _added(group: str, send_id: str, users: list[str]) -> dict[str, Any]:
    body = {"users": users}
    return {"t": "send", "id": send_id, "kind": "member.added", "group": group, "join": 1, "body": body}


def _asked(host: str, port: int, token: str, event: dict[str, Any]) -> dict[str, Any]:
    """The answer to one event, over a connection of its own."""
    with socket.create_connection((host, port), timeout=ANSWER_S_MAX) as one:
        one.sendall(upgrade_request(host, port))
        held = b""
        while b"\r\n\r\n" not in held:
            held += _more(one)
        head, _, held = held.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise GroupsRefused(head.decode("latin-1"))
        one.sendall(
            event_frame(ev.Hello(token=token, versions=[ev.VERSION])) + client_frame(msgspec.json.encode(event))
        )
        while True:
            _, start, end = next_frame(held, 0)
            if not end:
                held += _more(one)
                continue
            try:
                answer = json.loads(held[start:end])
            except ValueError:
                answer = {"t": ""}
            held = held[end:]
            if answer["t"] in ANSWERS:
                return dict(answer)


def _more(one: socket.socket) -> bytes:
    piece = one.recv(65_536)
    if not piece:
        raise GroupsRefused("the server closed the connection")
    return piece
