"""A membership: from a user's join entry to their leave or removal, both included; what it lets them see."""

from collections.abc import Iterable
from typing import Final

import msgspec

OWNER: Final = "owner"
ADMIN: Final = "admin"
MEMBER: Final = "member"
ROLES: Final = (MEMBER, ADMIN, OWNER)


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """One stay of one user in one group. `end` is the seq of the leave or removal, None while it lasts."""

    join: int
    end: int | None
    role: str

    @property
    def lasts(self) -> bool:
        return self.end is None


class Span(msgspec.Struct, frozen=True, order=True):
    """The entries `first` to `last`, both included; `last` None: up to the head, whatever it is."""

    first: int
    last: int | None

    def __contains__(self, seq: int) -> bool:
        return self.first <= seq and (self.last is None or seq <= self.last)


def current(memberships: Iterable[Membership]) -> Membership | None:
    """The membership that lasts, of one user in one group, or None."""
    for membership in memberships:
        if membership.end is None:
            return membership
    return None


def span_of(membership: Membership, *, history_all: bool) -> Span:
    """What one membership lets its user see: with `history = all` from 1, else from the join entry."""
    return Span(1 if history_all else membership.join, membership.end)


def span_after(memberships: Iterable[Membership], seq: int, *, history_all: bool) -> Span | None:
    """The span in which someone at position `seq` reads on, or None: nothing is left to receive.

    Where `seq + 1` lies in none, it is the next membership's, and the position skips to the number before its first:
    the only place where one may. With `history = all` there is nothing to skip.
    """
    spans = [span_of(m, history_all=history_all) for m in memberships]
    within = [s for s in spans if seq + 1 in s]
    if within:
        return max(within, key=lambda s: (s.last is None, s.last or 0))
    return min((s for s in spans if s.first > seq + 1), default=None)


def unread(messages_at_head: int, messages_at_read: int) -> int:
    """How many messages stand after the read pointer; the caller has raised the pointer to the membership's start."""
    return max(0, messages_at_head - messages_at_read)
