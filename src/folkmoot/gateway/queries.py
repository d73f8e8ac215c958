"""Answers to requests that make no entry: history pages, my groups, a group's members; each cut at what is allowed."""

from folkmoot.model.ids import UserId
from folkmoot.model.membership import Membership, Span, current, span_of, unread
from folkmoot.ports.store import GroupView, Store, StoreAway
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import entry_event
from folkmoot.protocol.limits import LIST_ROWS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX

UNAVAILABLE_MS = 1_000


class _Refuse(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class Queries:
    """Reads through one user's eyes. Nothing is read that the view which allowed it does not cover."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer(self, user: UserId, event: ev.Read | ev.ListGroups | ev.ListMembers) -> ev.Event:
        """The answer to `event`, an `error` where there is none."""
        try:
            match event:
                case ev.Read():
                    return await self._read(user, event)
                case ev.ListGroups():
                    return await self._groups(user, event)
                case ev.ListMembers():
                    return await self._members(user, event)
        except _Refuse as refusal:
            return ev.Failed(code=refusal.code, ref=event.ref, detail=refusal.detail)
        except StoreAway:
            return ev.Failed(code="unavailable", ref=event.ref, retry_after_ms=UNAVAILABLE_MS)

    async def unread_of(self, view: GroupView, membership: Membership) -> int:
        """Messages at the head minus messages at the read pointer, or at the membership's start where that is later."""
        start = membership.join if view.history_all else membership.join - 1
        mark = await self._store.mark(view.group, min(max(view.read, start), view.head.seq))
        return 0 if mark is None else unread(view.head.messages, mark.messages)

    async def _view(self, group: str, user: UserId) -> GroupView:
        view = await self._store.view(group, user)
        if view is None or current(view.memberships) is None:
            raise _Refuse("no_such_group")
        return view

    async def _read(self, user: UserId, event: ev.Read) -> ev.Page:
        _check_limit(event.limit, PAGE_ENTRIES_MAX)
        for bound in (event.after, event.before):
            if bound is not None and not 0 <= bound < 2**63:
                raise _Refuse("bad_limit", "after and before are at least 0")
        if event.after is not None and event.before is not None:
            raise _Refuse("bad_request", "after or before, not both")
        view = await self._view(event.group, user)
        spans = _allowed(view)
        backwards = event.after is None
        if backwards:
            end = view.head.seq if event.before is None else event.before - 1
            span = _last_within(spans, end)
        else:
            span = _first_within(spans, (event.after or 0) + 1)
        if span is None:
            return ev.Page(ref=event.ref, group=event.group, entries=[], more=False, head=view.head.seq)
        read = self._store.read_back if backwards else self._store.read
        page = await read(event.group, span, entries_max=event.limit, bytes_max=PAGE_BYTES_MAX)
        if backwards:
            more = bool(page) and _last_within(spans, page[0].seq - 1) is not None
        else:
            more = bool(page) and _first_within(spans, page[-1].seq + 1) is not None
        entries = [entry_event(entry) for entry in page]
        return ev.Page(ref=event.ref, group=event.group, entries=entries, more=more, head=view.head.seq)

    async def _groups(self, user: UserId, event: ev.ListGroups) -> ev.GroupList:
        _check_limit(event.limit, LIST_ROWS_MAX)
        groups = await self._store.groups_of(user, after=event.after, rows_max=event.limit)
        rows = []
        for group in groups:
            view = await self._store.view(group, user)
            membership = None if view is None else current(view.memberships)
            if view is None or membership is None:
                continue  # The list of groups is always a superset: each row is checked against the group.
            rows.append(
                ev.GroupRow(
                    group=group,
                    name=view.name,
                    role=membership.role,
                    join=membership.join,
                    members=view.members_count,
                    seq=view.head.seq,
                    messages=view.head.messages,
                    unread=await self.unread_of(view, membership),
                )
            )
        return ev.GroupList(ref=event.ref, groups=rows, next=groups[-1] if len(groups) == event.limit else None)

    async def _members(self, user: UserId, event: ev.ListMembers) -> ev.MemberList:
        _check_limit(event.limit, LIST_ROWS_MAX)
        await self._view(event.group, user)
        members = await self._store.members(event.group, after=event.after, rows_max=event.limit)
        rows = [ev.MemberRow(user=name, role=m.role, join=m.join) for name, m in members]
        more = members[-1][0] if len(members) == event.limit else None
        return ev.MemberList(ref=event.ref, group=event.group, members=rows, next=more)


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
        raise _Refuse("bad_limit", f"limit is 1 to {limit_max}")
