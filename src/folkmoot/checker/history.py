"""The verdict: from what clients asked, were answered and applied, whether the promise was kept. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from folkmoot.model.entry import MESSAGE

EXAMPLES_MAX: Final = 5


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A client asked for an entry with this body. In the order in which each client asked.

    `client` is whose outbox it was in where a sender has several: order is promised within one outbox.
    """

    sender: str
    send_id: str
    group: str
    content: bytes
    kind: str = MESSAGE
    client: str = ""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A client was told what became of a send: its seq, or None: it is refused for good."""

    sender: str
    send_id: str
    group: str
    seq: int | None


class Applied(msgspec.Struct, frozen=True, gc=False):
    """A client applied an entry. In the order in which each client did."""

    client: str
    group: str
    seq: int
    sender: str
    send_id: str
    content: bytes
    kind: str = MESSAGE


class Duty(msgspec.Struct, frozen=True):
    """A client has to have every entry of a group from `first` on, up to `last` where its membership ended."""

    client: str
    group: str
    first: int
    last: int | None = None

    def __contains__(self, seq: int) -> bool:
        return self.first <= seq and (self.last is None or seq <= self.last)


class History(msgspec.Struct):
    """Everything that was observed. Lists only grow."""

    asked: list[Asked] = []
    answered: list[Answered] = []
    applied: list[Applied] = []
    duties: list[Duty] = []


FAULTS: Final[dict[str, str]] = {
    "missing": "an entry, acknowledged or held by another member, that a member does not have",
    "doubled": "an entry that a client applied more than once, or that stands twice in the log",
    "out_of_order": "an entry applied after a later one, or one client's sends in another order than made",
    "altered": "an entry whose body, sender or kind is not what was sent",
    "disagreed": "one number with two meanings",
    "invented": "an entry that nobody sent",
    "refused_but_stored": "an entry of a send refused for good",
    "misnumbered": "an entry acknowledged with one number and applied, or acknowledged again, with another",
    "outside": "an entry that a client was given outside its memberships",
}
"""What can be wrong, and what it means."""


class Verdict(msgspec.Struct, frozen=True):
    """How often each fault was found, a few examples of each that was, and how much was looked at."""

    counts: dict[str, int]
    examples: dict[str, list[str]]
    acknowledged: int
    deliveries: int

    @property
    def clean(self) -> bool:
        return not any(self.counts.values())

    def lines(self) -> list[str]:
        """For people: one line a fault that was found, with what it means, and its examples under it."""
        lines = []
        for fault, count in self.counts.items():
            if count:
                lines.append(f"{count} {fault.replace('_', ' ')}: {FAULTS[fault]}")
                examples = self.examples.get(fault, [])
                lines += [f"  {example}" for example in examples]
                if count > len(examples):
                    lines.append(f"  and {count - len(examples)} more")
        return lines


Key: TypeAlias = tuple[str, str, str]
"""Group, sender and send id: what has one outcome."""

Fault: TypeAlias = tuple[str, str]
"""The name of a fault, and the example found."""


def judge(history: History) -> Verdict:
    """Compare, client by client, what was applied with what was acknowledged."""
    counts = dict.fromkeys(FAULTS, 0)
    examples: dict[str, list[str]] = {}
    for fault, example in _faults(history):
        counts[fault] += 1
        if counts[fault] <= EXAMPLES_MAX:
            examples.setdefault(fault, []).append(example)
    acknowledged = {(a.group, a.sender, a.send_id) for a in history.answered if a.seq is not None}
    return Verdict(counts, examples, len(acknowledged), len(history.applied))


def merged(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict on histories that have no group in common."""
    counts = dict.fromkeys(FAULTS, 0)
    examples: dict[str, list[str]] = {}
    acknowledged = deliveries = 0
    for verdict in verdicts:
        acknowledged += verdict.acknowledged
        deliveries += verdict.deliveries
        for fault, count in verdict.counts.items():
            counts[fault] += count
        for fault, found in verdict.examples.items():
            room = EXAMPLES_MAX - len(examples.get(fault, ()))
            examples.setdefault(fault, []).extend(found[:room])
    return Verdict(counts, examples, acknowledged, deliveries)


def _faults(history: History) -> Iterator[Fault]:
    by_client: dict[tuple[str, str], list[Applied]] = defaultdict(list)
    for entry in history.applied:
        by_client[(entry.client, entry.group)].append(entry)
    yield from _of_answers(history)
    yield from _of_contents(history)
    yield from _of_numbers(history)
    yield from _of_senders(history)
    for (client, group), entries in by_client.items():
        yield from _of_client(client, group, entries)
    yield from _of_duties(history, by_client)


def _of_answers(history: History) -> Iterator[Fault]:
    """A send has one outcome, and a refused one is nowhere."""
    seqs: dict[Key, int] = {}
    refused: set[Key] = set()
    for answer in history.answered:
        key = (answer.group, answer.sender, answer.send_id)
        if answer.seq is None:
            refused.add(key)
        elif seqs.setdefault(key, answer.seq) != answer.seq:
            yield "misnumbered", f"{_name(key)} was acknowledged as {seqs[key]} and as {answer.seq}"
    for key in refused & seqs.keys():
        yield "refused_but_stored", f"{_name(key)} was refused, and acknowledged as {seqs[key]}"
    for entry in history.applied if refused else ():
        key = (entry.group, entry.sender, entry.send_id)
        if key in refused:
            yield "refused_but_stored", f"{entry.client} has {_name(key)} at {entry.seq}"


def _of_contents(history: History) -> Iterator[Fault]:
    """What is applied is what its sender asked for."""
    asked: dict[Key, Asked] = {}
    for send in history.asked:
        asked.setdefault((send.group, send.sender, send.send_id), send)
    promised = {(a.group, a.seq): a for a in history.answered if a.seq is not None}
    for entry in history.applied:
        key = (entry.group, entry.sender, entry.send_id)
        sent = asked.get(key)
        if sent is None:
            there = promised.get((entry.group, entry.seq))
            if there is not None and there.send_id == entry.send_id:
                yield "altered", f"{entry.client} has {there.sender}/{there.send_id} at {entry.seq} as {entry.sender}'s"
            else:
                yield "invented", f"{entry.client} has {_name(key)} at {entry.seq}"
        elif sent.content != entry.content or sent.kind != entry.kind:
            what = "body" if sent.kind == entry.kind else f"kind: {entry.kind} instead of {sent.kind}"
            yield "altered", f"{entry.client} has {_name(key)} at {entry.seq} with another {what}"


def _of_numbers(history: History) -> Iterator[Fault]:
    """A send stands at one number, the acknowledged one; a number means one entry."""
    acknowledged = {(a.group, a.sender, a.send_id): a.seq for a in history.answered if a.seq is not None}
    numbers: dict[Key, dict[int, str]] = {}
    meanings: dict[tuple[str, int], tuple[str, str, str]] = {}
    for entry in history.applied:
        key = (entry.group, entry.sender, entry.send_id)
        at = numbers.get(key)
        if at is None:
            numbers[key] = {entry.seq: entry.client}
        elif entry.seq not in at:
            at[entry.seq] = entry.client
        meaning = meanings.setdefault((entry.group, entry.seq), (entry.sender, entry.send_id, entry.client))
        if meaning[0] != entry.sender or meaning[1] != entry.send_id:
            other = f"{entry.client} has {entry.sender}/{entry.send_id}"
            yield "disagreed", f"{entry.group} {entry.seq}: {meaning[2]} has {meaning[0]}/{meaning[1]}, {other}"
    for key, at in numbers.items():
        for seq, client in list(at.items())[1:]:
            yield "doubled", f"{_name(key)} stands at {next(iter(at))} and, for {client}, at {seq}"
        promised = acknowledged.get(key)
        if promised is not None and promised not in at:
            seq, client = next(iter(at.items()))
            yield "misnumbered", f"{_name(key)} was acknowledged as {promised}, {client} has it at {seq}"


def _of_senders(history: History) -> Iterator[Fault]:
    """The numbers of one outbox's sends rise in the order in which they were made."""
    seqs: dict[Key, int] = {(a.group, a.sender, a.send_id): a.seq for a in history.applied}
    seqs |= {(a.group, a.sender, a.send_id): a.seq for a in history.answered if a.seq is not None}
    last: dict[tuple[str, str, str], tuple[int, str]] = {}
    seen: set[Key] = set()
    for send in history.asked:
        key = (send.group, send.sender, send.send_id)
        seq = seqs.get(key)
        if seq is None or key in seen:
            continue
        seen.add(key)
        outbox = (send.group, send.sender, send.client)
        before, name = last.get(outbox, (0, ""))
        if seq <= before:
            yield "out_of_order", f"{_name(key)} is {seq}, and {name}, made before it, is {before}"
        else:
            last[outbox] = (seq, send.send_id)


def _of_client(client: str, group: str, entries: list[Applied]) -> Iterator[Fault]:
    """A client applies each number once, and none after a later one."""
    last = 0
    had: set[int] = set()
    for entry in entries:
        if entry.seq in had:
            yield "doubled", f"{client} applied {group} {entry.seq} twice"
        elif entry.seq < last:
            yield "out_of_order", f"{client} applied {group} {entry.seq} after {last}"
        had.add(entry.seq)
        last = max(last, entry.seq)


def _of_duties(history: History, by_client: dict[tuple[str, str], list[Applied]]) -> Iterator[Fault]:
    """Whoever is a member at an entry's number has that entry; whoever is not, has not."""
    duties: dict[tuple[str, str], list[Duty]] = defaultdict(list)
    for duty in history.duties:
        duties[(duty.client, duty.group)].append(duty)
    owed = _owed(history)
    for (client, group), spans in duties.items():
        had = {(entry.seq, entry.sender, entry.send_id) for entry in by_client.get((client, group), ())}
        for entry in owed[group]:
            if entry not in had and any(entry[0] in span for span in spans):
                yield "missing", f"{client} does not have {group} {entry[0]} ({entry[1]}/{entry[2]})"
    for (client, group), entries in by_client.items():
        spans = duties.get((client, group), [])
        for applied in entries:
            if not any(applied.seq in span for span in spans):
                yield "outside", f"{client} was given {group} {applied.seq} outside its memberships"


def _owed(history: History) -> dict[str, list[tuple[int, str, str]]]:
    """By group, the entries that each member on duty has to have, in order.

    Those acknowledged, and those that any member has, up to the last acknowledged: an entry past it may be on its way
    to the others.
    """
    owed: dict[str, set[tuple[int, str, str]]] = defaultdict(set)
    for answer in history.answered:
        if answer.seq is not None:
            owed[answer.group].add((answer.seq, answer.sender, answer.send_id))
    last = {group: max(seq for seq, _, _ in entries) for group, entries in owed.items()}
    held: set[tuple[str, int]] = {(group, seq) for group, entries in owed.items() for seq, _, _ in entries}
    for entry in history.applied:
        # Where two disagree on a number that nobody was told, the first is owed: one fault, and said elsewhere too.
        if entry.seq < last.get(entry.group, 0) and (entry.group, entry.seq) not in held:
            held.add((entry.group, entry.seq))
            owed[entry.group].add((entry.seq, entry.sender, entry.send_id))
    return defaultdict(list, {group: sorted(entries) for group, entries in owed.items()})


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"
