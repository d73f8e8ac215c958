"""Answers to requests that make no entry, for every door: history, my groups, members; each cut at what is allowed."""

import msgspec

from folkmoot.gateway.pointers import Pointers, messages_read
from folkmoot.model.entry import Entry
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span, current, span_of, unread
from folkmoot.ports.store import GroupView, Store, StoreAway
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import entry_event
from folkmoot.protocol.limits import LIST_ROWS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX

UNAVAILABLE_MS = 1_000


class QueryRefused(Exception):
    """There is no answer, for a reason that has a code of the error table."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class History(msgspec.Struct, frozen=True):
    """Entries in rising order; `more`: there are others in the direction asked for; `head`: the group's."""

    entries: list[Entry]
    more: bool
    head: int


class Queries:
    """Reads through one user's eyes. Nothing is read that the view which allowed it does not cover.

    All raise QueryRefused, and StoreAway.
    """

    def __init__(self, store: Store, pointers: Pointers | None = None) -> None:
        """`pointers`: what has moved and is not written yet is seen all the same."""
        self._store = store
        self._pointers = pointers

    async def answer(self, user: UserId, event: ev.Read | ev.ListGroups | ev.ListMembers) -> ev.Event:
        """The answer to `event`, an `error` where there is none. Raises neither."""
        try:
            match event:
                case ev.Read():
                    return await self._page(user, event)
                case ev.ListGroups(ref=ref):
                    groups, after = await self.groups(user, after=event.after, limit=event.limit)
                    return ev.GroupList(ref=ref, groups=groups, next=after)
                case ev.ListMembers(ref=ref, group=group):
                    members, after = await self.members(user, group, after=event.after, limit=event.limit)
                    return ev.MemberList(ref=ref, group=group, members=members, next=after)
        except QueryRefused as refusal:
            return ev.Failed(code=refusal.code, ref=event.ref, detail=refusal.detail)
        except StoreAway:
            return ev.Failed(code="unavailable", ref=event.ref, retry_after_ms=UNAVAILABLE_MS)

    async def view(self, user: UserId, group: GroupId) -> tuple[GroupView, Membership]:
        """The group and the user's membership. `no_such_group` to whoever has none, whether there is one or not."""
        view = await self.any_view(user, group)
        membership = None if view is None else current(view.memberships)
        if view is None or membership is None:
            raise QueryRefused("no_such_group")
        return view, membership

    async def any_view(self, user: UserId, group: GroupId) -> GroupView | None:
        """The group, also for who is no member of it: to be shown to nobody as it is."""
        view = await self._store.view(group, user)
        if view is None or self._pointers is None:
            return view
        waiting = self._pointers.waiting(user, group)
        return view if waiting <= view.read else msgspec.structs.replace(view, read=waiting)

    async def unread_of(self, view: GroupView, membership: Membership) -> int:
        """Messages at the head minus messages at the read pointer, or at the membership's start where that is later."""
        messages = await messages_read(self._store, view, membership)
        return 0 if messages is None else unread(view.head.messages, messages)

    async def history(
        self, user: UserId, group: GroupId, *, after: int | None, before: int | None, limit: int
    ) -> History:
        """The first entries after `after`, else the last before `before`, or the last of all: of what is allowed."""
        _check_limit(limit, PAGE_ENTRIES_MAX)
        for bound in (after, before):
            if bound is not None and not 0 <= bound < 2**63:
                raise QueryRefused("bad_limit", "after and before are at least 0")
        if after is not None and before is not None:
            raise QueryRefused("bad_request", "after or before, not both")
        view, _ = await self.view(user, group)
        spans = _allowed(view)
        if after is None:
            span = _last_within(spans, view.head.seq if before is None else before - 1)
        else:
            span = _first_within(spans, after + 1)
        if span is None:
            return History([], False, view.head.seq)
        read = self._store.read_back if after is None else self._store.read
        page = await read(group, span, entries_max=limit, bytes_max=PAGE_BYTES_MAX)
        if after is None:
            more = bool(page) and _last_within(spans, page[0].seq - 1) is not None
        else:
            more = bool(page) and _first_within(spans, page[-1].seq + 1) is not None
        return History(page, more, view.head.seq)

    async def entry(self, user: UserId, group: GroupId, seq: int) -> Entry:
        """The entry at `seq`; `no_such_entry` where there is none that the user may see."""
        view, _ = await self.view(user, group)
        if any(seq in span for span in _allowed(view)):
            for entry in await self._store.read(group, Span(seq, seq), entries_max=1, bytes_max=PAGE_BYTES_MAX):
                return entry
        raise QueryRefused("no_such_entry")

    async def seq_at(self, user: UserId, group: GroupId, at_ms: int) -> int:
        """The first seq whose entry is not older than `at_ms` (wall clock), one past the head where all are older.

        Times never fall along a log, so this is a binary search of point reads.
        """
        view, _ = await self.view(user, group)
        first, past = 1, view.head.seq + 1
        while first < past:
            middle = (first + past) // 2
            page = await self._store.read(group, Span(middle, middle), entries_max=1, bytes_max=1)
            if page and page[0].time_ms < at_ms:
                first = middle + 1
            else:
                past = middle
        return first

    async def groups(self, user: UserId, *, after: GroupId, limit: int) -> tuple[list[ev.GroupRow], GroupId | None]:
        """My groups by id, and the `after` of the next page."""
        _check_limit(limit, LIST_ROWS_MAX)
        groups = await self._store.groups_of(user, after=after, rows_max=limit)
        rows = []
        for group in groups:
            try:
                view, membership = await self.view(user, group)
            except QueryRefused:
                continue  # The list of groups is always a superset: each row is checked against the group.
            rows.append(await self.row(view, membership))
        return rows, groups[-1] if len(groups) == limit else None

    async def row(self, view: GroupView, membership: Membership) -> ev.GroupRow:
        """What a list says of one group."""
        return ev.GroupRow(
            group=view.group,
            name=view.name,
            role=membership.role,
            join=membership.join,
            members=view.members_count,
            seq=view.head.seq,
            messages=view.head.messages,
            unread=await self.unread_of(view, membership),
        )

    async def members(
        self, user: UserId, group: GroupId, *, after: UserId, limit: int
    ) -> tuple[list[ev.MemberRow], UserId | None]:
        """The group's members by id, and the `after` of the next page."""
        _check_limit(limit, LIST_ROWS_MAX)
        await self.view(user, group)
        members = await self._store.members(group, after=after, rows_max=limit)
        rows = [ev.MemberRow(user=name, role=m.role, join=m.join) for name, m in members]
        return rows, members[-1][0] if len(members) == limit else None

    async def _page(self, user: UserId, event: ev.Read) -> ev.Page:
        group = event.group
        found = await self.history(user, group, after=event.after, before=event.before, limit=event.limit)
        entries = [entry_event(entry) for entry in found.entries]
        return ev.Page(ref=event.ref, group=group, entries=entries, more=found.more, head=found.head)


def _allowed(view: GroupView) -> list[Span]:
    """What the user may read, cut at the head of the view, in rising order."""
    spans = [span_of(m, history_all=view.history_all) for m in view.memberships]
    return sorted(Span(s.first, view.head.seq if s.last is None else s.last) for s in spans)


def _first_within(spans: list[Span], first: int) -> Span | None:
    """The widest stretch from `first` on, or from the start of the next span."""
    cut = [Span(max(s.first, first), s.last) for s in spans if s.last is not None and s.last >= first]
    return min(cut, default=None, key=lambda s: (s.first, -(s.last or 0)))


def _last_within(spans: list[Span], last: int) -> Span | None:
    """The widest stretch up to `last`, or up to the end of the span before."""
    cut = [Span(s.first, min(s.last, last)) for s in spans if s.last is not None and s.first <= last]
    return max(cut, default=None, key=lambda s: (s.last or 0, -s.first))


def _check_limit(limit: int, limit_max: int) -> None:
    if not 1 <= limit <= limit_max:
        raise QueryRefused("bad_limit", f"limit is 1 to {limit_max}")
