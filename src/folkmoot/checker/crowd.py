"""A crowd: users in several groups who talk, come and go, and the history of what they asked, were told and applied."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from folkmoot.checker.delays import Delays
from folkmoot.checker.history import Answered, Applied, Asked, Duty, History, Verdict, judge
from folkmoot.client import Client, OutboxFull, SendRefused
from folkmoot.client import outbox as answers
from folkmoot.client.received import GroupEvent
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.protocol import events as ev

CONNECTS_AT_ONCE: Final = 32
MAKE_S_MAX: Final = 60.0


class CrowdSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`members` in each group, of `clients` users in all; `sends_per_s` over all groups.

    `comings_per_s`: how often somebody is added to a group or removed from it, over all groups.
    """

    clients: int = 40
    groups: int = 8
    members: int = 12
    sends_per_s: float = 50.0
    comings_per_s: float = 1.0


class _Group:
    """One group: its id, who made it, its lasting members, and a guest who comes and goes."""

    def __init__(self, group: str, owner: str, members: Sequence[str], guest: str) -> None:
        self.group = group
        self.owner = owner
        self.members = list(members)
        self.guest = guest
        self.guest_since: int | None = None
        self.last_seq = 0


class Crowd:
    """Clients by user. `open`, `talk` until cancelled, `probe` as often as one likes, `settle`, `judge`, `close`."""

    def __init__(self, connect: Callable[[str], Client], settings: CrowdSettings, chance: random.Random) -> None:
        self.history = History()
        self.delays = Delays()
        self.turned_away = 0
        self._settings = settings
        self._chance = chance
        self._make_client = connect
        self._clients: dict[str, Client] = {}
        self._groups: dict[str, _Group] = {}
        self._received: dict[tuple[str, str], int] = {}
        self._unanswered: dict[tuple[str, str], None] = {}
        self._moved = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._contents: dict[bytes, bytes] = {}
        # Memberships of guests as (guest, group, join): all there were, with their end, and those the guest heard of.
        self._stays: dict[tuple[str, str, int], int | None] = {}
        self._heard_of: set[tuple[str, str, int]] = set()
        self._count = 0

    async def open(self, name: str) -> None:
        """Connect everyone and make the groups. Raises what the SDK raises where the server will not have us."""
        users = [f"{name}-user-{number}" for number in range(self._settings.clients)]
        guests = [f"{name}-guest-{number}" for number in range(self._settings.groups)]
        self._clients = {user: self._make_client(user) for user in (*users, *guests)}
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(user: str, client: Client) -> None:
            client.on_answer = lambda answer: self._answered(user, answer)
            client.on_event = lambda event: self._told(user, event)
            async with gate:
                await client.connect()

        await asyncio.gather(*(connect(user, client) for user, client in self._clients.items()))
        self._tasks = [asyncio.create_task(self._listen(user, client)) for user, client in self._clients.items()]
        async with asyncio.timeout(MAKE_S_MAX):
            for number, guest in enumerate(guests):
                members = self._chance.sample(users, min(self._settings.members, len(users)))
                await self._make_group(f"{name}-{number}", members, guest)

    async def talk(self) -> None:
        """Send and let people come and go, at the rates set, until cancelled. Raises what ended a client."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._at_rate(self._settings.sends_per_s, self._say))
            both.create_task(self._at_rate(self._settings.comings_per_s, self._come_or_go))

    async def probe(self, seconds_max: float) -> bool:
        """Send to every group, and return once everyone has everything up to that; False if that took too long."""
        try:
            async with asyncio.timeout(seconds_max):
                await asyncio.gather(*(self._probe(group) for group in self._groups.values()))
                await self._until(self._up_to_date)
        except TimeoutError:
            return False
        return True

    async def settle(self, seconds_max: float) -> list[str]:
        """Return once every send has its answer and everyone has everything; else, after that time, who waits."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._until(lambda: not self._unanswered and self._up_to_date())
        except TimeoutError:
            return self._waiting()
        return []

    def judge(self) -> Verdict:
        return judge(self._with_duties_of_guests())

    def reconnects(self) -> int:
        """How often clients had to connect again so far."""
        return sum(client.statistics().reconnects for client in self._clients.values() if client.user)

    def connected(self) -> int:
        """How many clients are connected now, and have what they missed."""
        return sum(client.is_connected for client in self._clients.values())

    async def close(self) -> int:
        """Take leave; how often clients had to connect again."""
        reconnects = self.reconnects()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._clients.values()), return_exceptions=True)
        return reconnects

    # What is asked.

    async def _make_group(self, name: str, members: list[str], guest: str) -> None:
        owner, *others = members
        send_id = f"make-{name}"
        client = self._clients[owner]
        # The group's id is only known with the answer: what was asked is noted then.
        group = await client.create_group(name, members=others, send_id=send_id)
        body = bodies.Created(name=name, members=tuple(others))
        self._note_asked(owner, send_id, group, kinds.CREATED, body)
        self.history.answered.append(Answered(owner, send_id, group, 1))
        self._unanswered.pop((owner, send_id), None)
        self.delays.forget((owner, send_id))
        for user in members:
            self._received.setdefault((user, group), 0)
            self.history.duties.append(Duty(user, group, 1))
        made = _Group(group, owner, members, guest)
        made.last_seq = 1
        self._groups[group] = made
        # A send carries the number of the join, so every speaker has to have heard of it.
        await self._until(self._up_to_date)

    async def _at_rate(self, per_s: float, do: Callable[[], Awaitable[None]]) -> None:
        """Open loop: a step that was late does not make the next one later."""
        if per_s <= 0:
            return
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._chance.expovariate(per_s)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if self._failure is not None:
                raise self._failure
            await do()

    async def _say(self) -> None:
        group = self._chance.choice(list(self._groups.values()))
        user = self._chance.choice([*group.members, group.guest])
        if user == group.guest and self._clients[user].position(group.group) is None:
            return
        self._post(user, group.group, f"text {self._chance.getrandbits(32)}")

    async def _come_or_go(self) -> None:
        """The guest of a group is added, or removed. The owner's own outbox keeps the order of both."""
        group = self._chance.choice(list(self._groups.values()))
        client, guest = self._clients[group.owner], group.guest
        send_id = self._next_id()
        # Refused on a full disk: then nobody came or went.
        with contextlib.suppress(SendRefused):
            if group.guest_since is None:
                self._note_asked(group.owner, send_id, group.group, kinds.ADDED, bodies.Added(users=(guest,)))
                await client.add(group.group, [guest], send_id=send_id)
            else:
                self._note_asked(group.owner, send_id, group.group, kinds.REMOVED, bodies.Removed(user=guest))
                await client.remove(group.group, guest, send_id=send_id)

    async def _probe(self, group: _Group) -> None:
        while True:
            send_id = self._next_id()
            self._note_asked(group.owner, send_id, group.group, kinds.MESSAGE, bodies.Message(text="probe"))
            try:
                await self._clients[group.owner].send(group.group, "probe", send_id=send_id)
            except SendRefused as refused:
                # Decided while the disk was still full; whatever else is refused to an owner is an error.
                if refused.code != "storage_full":
                    raise
            else:
                return

    def _post(self, user: str, group: str, text: str) -> None:
        send_id = self._next_id()
        self._note_asked(user, send_id, group, kinds.MESSAGE, bodies.Message(text=text))
        try:
            self._clients[user].post(group, text, send_id=send_id)
        except (OutboxFull, SendRefused):
            # Turned away by the client itself: the outbox is at its bound, or the group is over for this user.
            self.turned_away += 1
            self.history.asked.pop()
            self._unanswered.pop((user, send_id), None)
            self.delays.forget((user, send_id))

    def _note_asked(self, user: str, send_id: str, group: str, kind: str, body: bodies.Body) -> None:
        self.history.asked.append(Asked(user, send_id, group, bodies.canonical(body), kind))
        self._unanswered[(user, send_id)] = None
        self.delays.made((user, send_id), time.monotonic())

    def _next_id(self) -> str:
        self._count += 1
        return f"s{self._count}"

    # What is heard.

    def _answered(self, user: str, answer: answers.Answered) -> None:
        if answer.kind == kinds.CREATED or (answer.seq is None and not answer.definite):
            return
        self._unanswered.pop((user, answer.send_id), None)
        self.history.answered.append(Answered(user, answer.send_id, answer.group, answer.seq))
        group = self._groups.get(answer.group)
        if answer.seq is None:
            self.delays.forget((user, answer.send_id))
        else:
            self.delays.numbered((user, answer.send_id), answer.group, answer.seq, time.monotonic())
        if answer.seq is not None and group is not None:
            group.last_seq = max(group.last_seq, answer.seq)
            # Here and not where it was asked: whoever waited for the answer may have been cancelled.
            if answer.kind == kinds.ADDED:
                group.guest_since = answer.seq
                self._stays[(group.guest, group.group, answer.seq)] = None
                if (group.guest, group.group, answer.seq) not in self._heard_of:
                    self.delays.made(_hearing(group.guest, group.group, answer.seq), time.monotonic())
            elif answer.kind == kinds.REMOVED and group.guest_since is not None:
                self._stays[(group.guest, group.group, group.guest_since)] = answer.seq
                # Whoever never heard of a stay that is over is owed nothing of it.
                self.delays.forget(_hearing(group.guest, group.group, group.guest_since))
                group.guest_since = None
        self._stir()

    def _told(self, user: str, event: GroupEvent) -> None:
        if isinstance(event, ev.JoinedEvent | ev.Snapshot):
            self._heard_of.add((user, event.group, event.join))
            self.delays.numbered(_hearing(user, event.group, event.join), event.group, 0, time.monotonic())

    async def _listen(self, user: str, client: Client) -> None:
        applied, contents = self.history.applied, self._contents
        try:
            async for batch in client.batches():
                for entry in batch.entries:
                    raw = bytes(entry.raw)
                    # One copy of a body for all members, not one each.
                    content = contents.setdefault(raw, raw)
                    applied.append(
                        Applied(user, entry.group, entry.seq, entry.sender, entry.send_id, content, entry.kind)
                    )
                    key = (user, entry.group)
                    self._received[key] = max(self._received.get(key, 0), entry.seq)
                for name in {entry.group for entry in batch.entries}:
                    self._note_whole(name)
                self._stir()
        except Exception as error:
            self._failure = error
            self._stir()

    def _note_whole(self, name: str) -> None:
        group = self._groups.get(name)
        if group is not None:
            seq = min(self._received.get((user, name), 0) for user in group.members)
            self.delays.whole(name, seq, time.monotonic())

    def _stir(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._failure is not None:
                raise self._failure
            await self._moved.wait()

    def _up_to_date(self) -> bool:
        return not self._behind()

    def _behind(self) -> list[tuple[str, _Group, int]]:
        """Who lacks what of a group has been acknowledged, and where they stand."""
        behind = []
        for group in self._groups.values():
            on_duty = group.members if group.guest_since is None else [*group.members, group.guest]
            for user in on_duty:
                at = self._received.get((user, group.group), 0)
                if at < max(group.last_seq, group.guest_since or 0):
                    behind.append((user, group, at))
        # A guest who was removed is owed the rest up to the removal, if it has heard of that stay at all.
        for (guest, name, join), end in self._stays.items():
            at = self._received.get((guest, name), 0)
            if end is not None and at < end and (guest, name, join) in self._heard_of:
                behind.append((guest, self._groups[name], at))
        return behind

    def _waiting(self) -> list[str]:
        lines = [f"{user} is at {at} of {group.last_seq} in {group.group}" for user, group, at in self._behind()]
        return lines + [f"{user} has no answer to {send_id}" for user, send_id in self._unanswered]

    def _with_duties_of_guests(self) -> History:
        """A client's duty begins at its first position within a membership: one it never heard of is none."""
        heard_of = [
            Duty(guest, group, join, end)
            for (guest, group, join), end in self._stays.items()
            if (guest, group, join) in self._heard_of
        ]
        return msgspec.structs.replace(self.history, duties=[*self.history.duties, *heard_of])


def _hearing(guest: str, group: str, join: int) -> tuple[str, str]:
    """What a guest waits for who was added: to be told of it. No send id has a space."""
    return guest, f"hears of {join} in {group}"
