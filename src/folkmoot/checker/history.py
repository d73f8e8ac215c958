"""The verdict: from what clients asked, were answered and applied, whether the promise was kept. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

EXAMPLES_MAX: Final = 5


class Asked(msgspec.Struct, frozen=True):
    """A client asked for a message with this content. In the order in which each sender asked."""

    sender: str
    send_id: str
    group: str
    content: bytes


class Answered(msgspec.Struct, frozen=True):
    """A client was told what became of a send: its seq, or for good that it is refused."""

    sender: str
    send_id: str
    group: str
    seq: int | None


class Applied(msgspec.Struct, frozen=True):
    """A client applied an entry. In the order in which each client did."""

    client: str
    group: str
    seq: int
    sender: str
    send_id: str
    content: bytes


class Duty(msgspec.Struct, frozen=True):
    """A client has to have every message of a group from `first` on, up to `last` where its membership ended."""

    client: str
    group: str
    first: int
    last: int | None = None


class History(msgspec.Struct):
    """Everything that was observed. Lists only grow."""

    asked: list[Asked] = []
    answered: list[Answered] = []
    applied: list[Applied] = []
    duties: list[Duty] = []


FAULTS: Final[dict[str, str]] = {
    "missing": "an acknowledged message that a member does not have",
    "doubled": "a message that a client applied more than once, or that stands twice in the log",
    "out_of_order": "an entry applied after a later one, or a sender's messages in another order than sent",
    "altered": "a message whose sender or content is not what was sent",
    "disagreed": "one number with two meanings",
    "invented": "a message that nobody sent",
    "refused_but_stored": "a message refused for good that a client applied all the same",
    "misnumbered": "a message acknowledged with one number and applied with another",
    "outside": "an entry that a client was given outside its membership",
}
"""What can be wrong, and what it means."""


class Verdict(msgspec.Struct, frozen=True):
    """How often each fault was found, a few examples of each, and how much was looked at."""

    counts: dict[str, int]
    examples: dict[str, list[str]]
    acknowledged: int
    deliveries: int

    @property
    def clean(self) -> bool:
        return not any(self.counts.values())


def judge(history: History) -> Verdict:
    """Compare, client by client, what was applied with what was acknowledged."""
    found: dict[str, list[str]] = {fault: [] for fault in FAULTS}
    counts = dict.fromkeys(FAULTS, 0)
    deliveries = 0
    for fault, example in _faults(history):
        counts[fault] += 1
        if len(found[fault]) < EXAMPLES_MAX:
            found[fault].append(example)
    deliveries = len(history.applied)
    acknowledged = sum(1 for _ in {(a.group, a.sender, a.send_id) for a in history.answered if a.seq is not None})
    return Verdict(counts, {k: v for k, v in found.items() if v}, acknowledged, deliveries)


def _faults(history: History) -> Iterator[tuple[str, str]]:
    by_client: dict[tuple[str, str], list[Applied]] = defaultdict(list)
    for applied in history.applied:
        by_client[(applied.client, applied.group)].append(applied)
    yield from _against_sends(history)
    yield from _between_clients(history.applied)
    yield from _sender_order(history)
    for (client, group), entries in by_client.items():
        yield from _within_client(client, group, entries)
    yield from _against_duties(history, by_client)


def _against_sends(history: History) -> Iterator[tuple[str, str]]:
    asked = {(a.group, a.sender, a.send_id): a for a in history.asked}
    seqs: dict[tuple[str, str, str], int] = {}
    refused = set()
    for answer in history.answered:
        key = (answer.group, answer.sender, answer.send_id)
        if answer.seq is None:
            refused.add(key)
        elif seqs.setdefault(key, answer.seq) != answer.seq:
            yield "misnumbered", f"{_name(key)} was acknowledged as {seqs[key]} and as {answer.seq}"
    numbers: dict[tuple[str, str, str], int] = {}
    for applied in history.applied:
        key = (applied.group, applied.sender, applied.send_id)
        send = asked.get(key)
        if send is None:
            yield "invented", f"{applied.client} has {_name(key)} at {applied.seq}"
        elif send.content != applied.content:
            yield "altered", f"{applied.client} has {_name(key)} at {applied.seq} with another content"
        if key in refused:
            yield "refused_but_stored", f"{applied.client} has {_name(key)} at {applied.seq}"
        if seqs.get(key, applied.seq) != applied.seq:
            yield (
                "misnumbered",
                f"{_name(key)} was acknowledged as {seqs[key]}, {applied.client} has it at {applied.seq}",
            )
        if numbers.setdefault(key, applied.seq) != applied.seq:
            yield "doubled", f"{_name(key)} stands at {numbers[key]} and at {applied.seq}"


def _between_clients(applied: Sequence[Applied]) -> Iterator[tuple[str, str]]:
    held: dict[tuple[str, int], Applied] = {}
    for entry in applied:
        first = held.setdefault((entry.group, entry.seq), entry)
        if (first.sender, first.send_id) != (entry.sender, entry.send_id):
            yield "disagreed", f"{entry.group} {entry.seq}: {first.client} and {entry.client} have different entries"


def _sender_order(history: History) -> Iterator[tuple[str, str]]:
    """The seqs of one sender's messages rise in the order in which they were asked for."""
    seqs = {(a.group, a.sender, a.send_id): a.seq for a in history.answered if a.seq is not None}
    seqs |= {(a.group, a.sender, a.send_id): a.seq for a in history.applied}
    last: dict[tuple[str, str], int] = {}
    seen = set()
    for asked in history.asked:
        key = (asked.group, asked.sender, asked.send_id)
        seq = seqs.get(key)
        if seq is None or key in seen:
            continue
        seen.add(key)
        sender = (asked.group, asked.sender)
        if seq <= last.get(sender, 0):
            yield "out_of_order", f"{_name(key)} is {seq}, and one sent before it {last[sender]}"
        last[sender] = max(seq, last.get(sender, 0))


def _within_client(client: str, group: str, entries: Sequence[Applied]) -> Iterator[tuple[str, str]]:
    last = 0
    had: set[int] = set()
    for entry in entries:
        if entry.seq in had:
            yield "doubled", f"{client} applied {group} {entry.seq} twice"
        elif entry.seq < last:
            yield "out_of_order", f"{client} applied {group} {entry.seq} after {last}"
        had.add(entry.seq)
        last = max(last, entry.seq)


def _against_duties(history: History, by_client: dict[tuple[str, str], list[Applied]]) -> Iterator[tuple[str, str]]:
    acknowledged: dict[str, dict[int, str]] = defaultdict(dict)
    for answer in history.answered:
        if answer.seq is not None:
            acknowledged[answer.group][answer.seq] = f"{answer.sender}/{answer.send_id}"
    duties: dict[tuple[str, str], list[Duty]] = defaultdict(list)
    for duty in history.duties:
        duties[(duty.client, duty.group)].append(duty)
    for (client, group), spans in duties.items():
        had = {entry.seq for entry in by_client.get((client, group), ())}
        for seq, name in acknowledged[group].items():
            if seq not in had and any(_within(span, seq) for span in spans):
                yield "missing", f"{client} does not have {group} {seq} ({name})"
    for (client, group), entries in by_client.items():
        spans = duties.get((client, group), [])
        for entry in entries:
            if not any(_within(span, entry.seq) for span in spans):
                yield "outside", f"{client} was given {group} {entry.seq} outside its membership"


def _within(duty: Duty, seq: int) -> bool:
    return duty.first <= seq and (duty.last is None or seq <= duty.last)


def _name(key: tuple[str, str, str]) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"
