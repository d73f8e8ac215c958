"""The one function that turns entries into a group's state, for whoever decides, authorises or rebuilds."""

from collections.abc import Callable, Iterable

import msgspec

from folkmoot.model import body as bodies
from folkmoot.model.entry import MESSAGE, Entry
from folkmoot.model.group import GroupState
from folkmoot.model.ids import UserId
from folkmoot.model.membership import ADMIN, MEMBER, OWNER, Membership


class FoldError(ValueError):
    """The entry is not the next of this group: the log, or the reading of it, is broken."""


def fold(state: GroupState, entry: Entry) -> GroupState:
    """The state after `entry`. A kind this version does not know, and an erased body, change only the head.

    `writes` and `room` are the store's to tell and stay as they are. Raises FoldError if `entry` is not the next.
    """
    if entry.seq != state.head.seq + 1 or entry.group != state.group:
        raise FoldError(f"entry {entry.seq} does not follow {state.head.seq} of {state.group}")
    head = msgspec.structs.replace(
        state.head, epoch=max(entry.epoch, state.head.epoch), seq=entry.seq, hash=entry.hash, messages=entry.messages
    )
    state = msgspec.structs.replace(state, head=head, time_ms=entry.time_ms)
    if entry.kind == MESSAGE:
        return state
    changes = changed_memberships(state, entry)
    if changes:
        state = _with_memberships(state, changes)
    if entry.body is None:
        return state
    body = _body_of(entry)
    if isinstance(body, bodies.Created):
        return msgspec.structs.replace(
            state, name=body.name, history_all=body.history == "all", open=body.entry == "open"
        )
    if isinstance(body, bodies.Renamed):
        return msgspec.structs.replace(state, name=body.name)
    if isinstance(body, bodies.Deleted):
        # Nobody is a member any more, and nobody can become one: this is the end of the log.
        return msgspec.structs.replace(state, open=False)
    return state


def fold_all(state: GroupState, entries: Iterable[Entry]) -> GroupState:
    """The state after all of `entries`, in their order."""
    for entry in entries:
        state = fold(state, entry)
    return state


def changed_memberships(state: GroupState, entry: Entry) -> dict[UserId, Membership]:
    """The memberships that `entry` begins, ends or gives another role, as they are after it, by user.

    Values are set, never added: applied twice they are the same. `state` may be the one before or after the entry.
    """
    if entry.kind == MESSAGE:
        return {}
    changes: dict[UserId, Membership] = {}
    match _body_of(entry):
        case bodies.Created(members=members):
            changes = {user: Membership(entry.seq, None, MEMBER) for user in members}
            changes[entry.sender] = Membership(entry.seq, None, OWNER)
        case bodies.Joined() if not state.membership(entry.sender):
            changes[entry.sender] = Membership(entry.seq, None, MEMBER)
        case bodies.Added(users=users):
            # Who is a member already keeps that membership: the entry adds the others.
            changes = {user: Membership(entry.seq, None, MEMBER) for user in users if not state.membership(user)}
        case bodies.Deleted():
            for user in state.memberships:
                _end(state, user, entry.seq, changes)
        case bodies.Left():
            _end(state, entry.sender, entry.seq, changes)
        case bodies.Removed(user=user):
            _end(state, user, entry.seq, changes)
        case bodies.RoleChanged(user=user, role=role):
            if membership := state.membership(user):
                changes[user] = msgspec.structs.replace(membership, role=role)
        case _:
            pass
    return changes


def ends_for(entry: Entry, user: UserId) -> bool:
    """Whether `entry` ends the membership of `user`, who has one."""
    return ending(entry)(user)


def ending(entry: Entry) -> Callable[[UserId], bool]:
    """As `ends_for`, to be asked of many users: the body is read once."""
    match _body_of(entry):
        case bodies.Deleted():
            return lambda _: True
        case bodies.Left():
            return lambda user: user == entry.sender
        case bodies.Removed(user=removed):
            return lambda user: user == removed
        case _:
            return lambda _: False


def begins_for(entry: Entry, user: UserId) -> bool:
    """Whether `entry` can be the one that begins a membership of `user`."""
    match _body_of(entry):
        case bodies.Created(members=members):
            return entry.sender == user or user in members
        case bodies.Joined():
            return entry.sender == user
        case bodies.Added(users=users):
            return user in users
        case _:
            return False


def may_manage(role: str) -> bool:
    """Whether a role adds, removes and renames."""
    return role in (ADMIN, OWNER)


def _end(state: GroupState, user: UserId, seq: int, changes: dict[UserId, Membership]) -> None:
    if membership := state.membership(user):
        changes[user] = msgspec.structs.replace(membership, end=seq)


def _body_of(entry: Entry) -> bodies.Body | None:
    if entry.body is None or entry.kind == MESSAGE:
        return None
    try:
        return bodies.parse_body(entry.kind, entry.body)
    except bodies.BodyInvalid:
        return None


def _with_memberships(state: GroupState, changes: dict[UserId, Membership]) -> GroupState:
    memberships = dict(state.memberships)
    members, owners = state.members_count, state.owners_count
    for user, after in changes.items():
        stays = memberships.get(user, ())
        before = state.membership(user)
        memberships[user] = (*stays[:-1], after) if stays and stays[-1].join == after.join else (*stays, after)
        members += after.lasts - (before is not None)
        owners += (after.lasts and after.role == OWNER) - (before is not None and before.role == OWNER)
    return msgspec.structs.replace(state, memberships=memberships, members_count=members, owners_count=owners)
