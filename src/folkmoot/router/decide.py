"""What becomes of one send: a pure function of the group's state, the outcomes there are, and the send."""

from typing import TypeAlias

import msgspec

from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.entry import Entry, body_digest, sealed
from folkmoot.model.fold import changed_memberships, may_manage
from folkmoot.model.group import GroupState
from folkmoot.model.ids import UserId, group_id
from folkmoot.model.membership import OWNER, Membership
from folkmoot.model.send import SKIP, Appended, Outcome, Refused, Send


class Append(msgspec.Struct, frozen=True):
    """It becomes `entry`, which gives `memberships` their new values."""

    entry: Entry
    memberships: dict[UserId, Membership]


class Already(msgspec.Struct, frozen=True):
    """It is in the log at `seq`."""

    seq: int


class Refuse(msgspec.Struct, frozen=True):
    """It is not stored and never will be. `stored`: the refusal has to be written before it is told.

    Not stored are only refusals that can never change: an outcome there is, or a membership that is over.
    """

    code: str
    detail: str = ""
    stored: bool = True


class Leave(msgspec.Struct, frozen=True):
    """Nothing is decided; the same send may be asked again."""

    code: str
    detail: str = ""


class LoadNewer(msgspec.Struct, frozen=True):
    """The send was made under a join that this state has not reached: decide on a newer one."""


Decision: TypeAlias = Append | Already | Refuse | Leave | LoadNewer


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision rests on beside the state and the send."""

    outcome: Outcome | None
    after_settled: bool
    full: bool
    now_ms: int
    salt: bytes
    members_max: int


def decide(state: GroupState, send: Send, given: Circumstances) -> Decision:
    """What becomes of `send` in a group of this `state`."""
    if given.outcome is not None:
        return _decided_before(send, given.outcome)
    if send.kind == kinds.CREATED:
        return _decide_creation(state, send, given)
    if state.head.seq == 0:
        # Known from before it was made, perhaps: whoever writes to it has been told that it is there.
        return LoadNewer()
    if turned_away := _standing(state, send):
        return turned_away
    if not given.after_settled:
        return Leave("out_of_turn")
    if send.kind == SKIP:
        return Refuse("skipped")
    if given.full:
        return Refuse("storage_full")
    try:
        body = bodies.parse_body(send.kind, send.body)
    except bodies.BodyInvalid as error:
        return Refuse(error.code, error.detail)
    if refusal := _forbidden(state, send, body, given.members_max):
        return refusal
    return _append(state, send, body, given)


def _decided_before(send: Send, outcome: Outcome) -> Decision:
    if isinstance(outcome, Refused):
        return Refuse(outcome.code, stored=False)
    if send.kind == SKIP or outcome.salt is None or _is_same(send, outcome, outcome.salt):
        return Already(outcome.seq)
    return Refuse("send_id_conflict", f"this send id is entry {outcome.seq}, with another body", stored=False)


def _is_same(send: Send, outcome: Appended, salt: bytes) -> bool:
    try:
        body = bodies.canonical(bodies.parse_body(send.kind, send.body))
    except bodies.BodyInvalid:
        return False
    return send.kind == outcome.kind and body_digest(salt, body) == outcome.digest


def _decide_creation(state: GroupState, send: Send, given: Circumstances) -> Decision:
    if state.head.seq > 0 or send.group != group_id(send.sender, send.send_id):
        return Leave("not_taken")
    # A group that is not made has nowhere to keep a refusal, and needs none: this body never makes one.
    try:
        body = bodies.parse_body(send.kind, send.body)
    except bodies.BodyInvalid as error:
        return Refuse(error.code, error.detail, stored=False)
    if isinstance(body, bodies.Created) and len(body.members) >= given.members_max:
        return Refuse("group_full", f"at most {given.members_max} members", stored=False)
    if given.full:
        return Leave("store_away", "no room for a new group")
    return _append(state, send, body, given)


def _standing(state: GroupState, send: Send) -> Decision | None:
    """Whether the sender may write here at all, under the join the send names; None: yes."""
    if send.join > state.head.seq:
        return LoadNewer()
    membership = state.membership(send.sender)
    if membership is None:
        if any(stay.join == send.join for stay in state.memberships.get(send.sender, ())):
            return Refuse("membership_over", stored=False)
        # To whoever is not a member, a closed group is as one that does not exist.
        return None if send.kind == kinds.JOINED and state.open else Leave("not_taken")
    if send.join != membership.join and send.kind not in (SKIP, kinds.JOINED):
        return Refuse("membership_over", f"the membership began at {membership.join}", stored=False)
    return None


def _forbidden(state: GroupState, send: Send, body: bodies.Body, members_max: int) -> Refuse | Leave | None:
    membership = state.membership(send.sender)
    if membership is None or isinstance(body, bodies.Joined):
        if membership is not None:
            return Refuse("already_member")
        return Leave("not_taken", "the group is full") if state.members_count >= members_max else None
    match body:
        case bodies.Message() | bodies.Joined() | bodies.Created():
            return None
        case bodies.Left():
            return _last_owner(state, membership)
        case bodies.RoleChanged(user=user, role=role):
            return _forbidden_role(state, membership, user, role)
        case bodies.Renamed():
            return None if may_manage(membership.role) else Refuse("not_allowed", "only admins and owners rename")
        case bodies.Deleted():
            return None if membership.role == OWNER else Refuse("not_allowed", "only owners delete")
        case bodies.Added(users=users):
            return _forbidden_add(state, membership, users, members_max)
        case bodies.Removed(user=user):
            return _forbidden_removal(state, send.sender, membership, user)


def _forbidden_add(
    state: GroupState, membership: Membership, users: tuple[UserId, ...], members_max: int
) -> Refuse | None:
    if not may_manage(membership.role):
        return Refuse("not_allowed", "only admins and owners add members")
    added = sum(state.membership(user) is None for user in users)
    if added == 0:
        return Refuse("already_member")
    if state.members_count + added > members_max:
        return Refuse("group_full", f"at most {members_max} members")
    return None


def _forbidden_removal(state: GroupState, sender: UserId, membership: Membership, user: UserId) -> Refuse | None:
    if not may_manage(membership.role):
        return Refuse("not_allowed", "only admins and owners remove members")
    if user == sender:
        return Refuse("not_allowed", "leave instead")
    target = state.membership(user)
    if target is None:
        return Refuse("not_a_member")
    if membership.role != OWNER and may_manage(target.role):
        return Refuse("not_allowed", "only owners remove admins and owners")
    return None


def _forbidden_role(state: GroupState, membership: Membership, user: UserId, role: str) -> Refuse | None:
    if membership.role != OWNER:
        return Refuse("not_allowed", "only owners change roles")
    target = state.membership(user)
    if target is None:
        return Refuse("not_a_member")
    if target.role == OWNER and role != OWNER and state.owners_count == 1:
        return Refuse("last_owner")
    return None


def _last_owner(state: GroupState, membership: Membership) -> Refuse | None:
    if membership.role == OWNER and state.owners_count == 1 and state.members_count > 1:
        return Refuse("last_owner", "make someone else an owner first")
    return None


def _append(state: GroupState, send: Send, body: bodies.Body, given: Circumstances) -> Append:
    head = state.head
    entry = sealed(
        head.hash,
        group=send.group,
        epoch=head.epoch,
        seq=head.seq + 1,
        kind=send.kind,
        sender=send.sender,
        device=send.device,
        send_id=send.send_id,
        # A clock that was set back does not take the log's times with it.
        time_ms=max(given.now_ms, state.time_ms),
        messages=head.messages + (send.kind == kinds.MESSAGE),
        body=bodies.canonical(body),
        salt=given.salt,
    )
    return Append(entry, changed_memberships(state, entry))
