"""What a load process is told to do, and what it says it saw: the lines between it and whoever measures."""

from typing import Literal

import msgspec

from folkmoot.bench.figures import Histogram


class Job(msgspec.Struct, kw_only=True):
    """The sockets of one load process, and what they do.

    It has the groups whose index is `worker` modulo `workers`; group `g` has the users `g * members + 1` and so on, in
    the form `user-<n>`, one socket each. All of them are members since entry 1.

    `sends` asks for messages, `rate_per_s` over all processes, evenly spaced, of groups drawn at random (or `in_turn`),
    and in a group of its members in turn; with `unanswered_max` groups take turns, each has so many unanswered, its
    next waits, and a rate of 0 then means: at once. `reads` asks for pages of `page_entries` at places of logs of
    `log_entries`, forwards and backwards; `rest_reads` does it over HTTP.

    With `nap_s` it looks at its sockets that often and sleeps in between, rather than to be woken by each arrival: over
    loopback the waking is paid by whoever writes, which it would not be over a network.

    `sends_to_last` are messages of which it is told when the last member has each; at a rate of 0 the group's next is
    sent then, with `under_way` of them at once, and with `sends_max` all is over after so many.

    `rest_lists` asks over HTTP for the users' chats and groups in turn.

    `narrow`: the first sockets of each group, so many, have little room for what is not read yet.

    `storm` are messages until the server is gone, and everyone's coming back, each
    attempt at most `back_s_max` after the one before; with `joins` all but the first of each
    group join it at once.

    Whatever waits, a time counts from when the request was meant to be made. `dialect`: how the other
    end is spoken to, of `dialects.DIALECTS`.
    """

    host: str
    port: int
    secret: str
    sources: list[str]
    groups: list[str]
    members: int
    worker: int = 0
    workers: int = 1
    dialect: str = "folkmoot"
    traffic: Literal["none", "sends", "sends_to_last", "reads", "rest_reads", "rest_lists", "storm", "joins"] = "none"
    rate_per_s: float = 0.0
    in_turn: bool = False
    unanswered_max: int = 0
    sends_max: int = 0
    under_way: int = 1
    text_bytes: int = 180
    page_entries: int = 50
    log_entries: int = 0
    acks_per_s: float = 0.0
    nap_s: float = 0.0
    narrow: int = 0
    back_s_max: float = 30.0
    seed: int = 1


class Connected(msgspec.Struct, tag="connected"):
    """All sockets are up, and live in their groups."""

    sockets: int


class Begin(msgspec.Struct, tag="begin"):
    """Traffic begins at `start_ns` of the monotonic clock; what counts is from `warm_s` after it, for `seconds`.

    `muted`: of each group so many sockets are not read from meanwhile, and nothing is counted of them.
    """

    start_ns: int
    warm_s: float
    seconds: float
    muted: int = 0


class Tally(msgspec.Struct, tag="tally", kw_only=True):
    """What a load process counted. Times are from when a request was meant to be made, of those meant in the window.

    `sent`, `accepted`, `delivered` and `expected` are of the whole traffic, warming up included, so that nothing can
    hide between two counts. `in_window` counts what arrived in the window, whenever it was meant: deliveries, or pages.
    `late` is how much later than meant a request was made, for the load's own reasons alone. `there` is of a crowd,
    from the moment it began until each was there, and `busy_share` what of a core the process took until all were.
    """

    sent: int = 0
    accepted: int = 0
    accepted_in_window: int = 0
    delivered: int = 0
    expected: int = 0
    in_window: int = 0
    entries_read: int = 0
    out_of_order: int = 0
    lost: int = 0
    frame_bytes: int = 0
    busy_share: float = 0.0
    failed: dict[str, int] = msgspec.field(default_factory=dict)
    late: Histogram = msgspec.field(default_factory=Histogram)
    deliveries: Histogram = msgspec.field(default_factory=Histogram)
    last: Histogram = msgspec.field(default_factory=Histogram)
    there: Histogram = msgspec.field(default_factory=Histogram)
    answers: Histogram = msgspec.field(default_factory=Histogram)
    forwards: Histogram = msgspec.field(default_factory=Histogram)
    backwards: Histogram = msgspec.field(default_factory=Histogram)
    by_second: list[int] = msgspec.field(default_factory=list)


class Broken(msgspec.Struct, tag="broken"):
    """The load could not go on; why."""

    why: str


def merged(tallies: list[Tally]) -> Tally:
    """What all of them counted."""
    whole = Tally()
    for tally in tallies:
        for name in tally.__struct_fields__:
            value, seen = getattr(whole, name), getattr(tally, name)
            if isinstance(value, Histogram):
                value.merge(seen)
            elif isinstance(value, dict):
                for code, count in seen.items():
                    value[code] = value.get(code, 0) + count
            elif isinstance(value, list):
                value.extend([0] * (len(seen) - len(value)))
                for second, count in enumerate(seen):
                    value[second] += count
            elif name in ("frame_bytes", "busy_share"):
                setattr(whole, name, max(value, seen))
            else:
                setattr(whole, name, value + seen)
    return whole
