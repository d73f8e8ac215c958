"""Pages are asked for in both directions, within the log, and each that comes is counted once, over either door."""

import json

import msgspec
import pytest

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Begin, Job
from folkmoot.bench.reads import Reads, RestReads

SECOND_NS = 1_000_000_000
START_NS = 100 * SECOND_NS


class Sockets:
    """Takes what is written, by client."""

    def __init__(self, groups: int, members: int) -> None:
        self.clients = [Client(n, n // members, f"user-{n + 1}") for n in range(groups * members)]
        for client in self.clients:
            client.seq = 1
        self.written: list[tuple[Client, bytes]] = []

    def write(self, client: Client, data: bytes) -> None:
        self.written.append((client, data))

    def events(self) -> list[tuple[Client, dict[str, object]]]:
        """What was asked, as events; the list is empty afterwards."""
        written, self.written = self.written, []
        return [(client, json.loads(data[data.index(b"{") :])) for client, data in written]


def job_of(**what: object) -> Job:
    given: dict[str, object] = {"host": "h", "port": 1, "secret": "s" * 40, "sources": ["127.0.0.1"], "members": 2}
    return msgspec.convert(given | {"groups": ["ga", "gb"]} | what, Job)


def begun(sockets: Sockets, job: Job, *, warm_s: float = 1.0, seconds: float = 2.0) -> Reads:
    kind = Reads if job.traffic == "reads" else RestReads
    traffic = kind(job, sockets.clients, sockets.write)
    traffic.begin(Begin(START_NS, warm_s, seconds))
    return traffic


def told(traffic: Reads, client: Client, now_ns: int, **event: object) -> None:
    data = json.dumps(event, separators=(",", ":")).encode()
    traffic.event(client, data, 0, len(data), now_ns)


def test_reads_ask_in_both_directions_and_stay_within_the_log() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="reads", rate_per_s=100.0, log_entries=500), warm_s=0.0)
    asked = []
    for n in range(100):
        now_ns = START_NS + n * SECOND_NS // 100
        traffic.make_due(now_ns)
        for client, event in sockets.events():
            asked.append(event)
            entries = [{"t": "entry", "sender": "p"}] * 50
            told(traffic, client, now_ns + 2_000_000, t="page", ref=event["ref"], entries=entries)
    tally = traffic.done()
    forwards = [event for event in asked if "after" in event]
    backwards = [event for event in asked if "before" in event]
    assert (len(forwards) + len(backwards), tally.accepted, tally.entries_read) == (100, 100, 5_000)
    assert all(0 <= int(str(event["after"])) <= 450 for event in forwards)
    assert all(51 <= int(str(event["before"])) <= 501 for event in backwards)
    assert (tally.forwards.count, tally.backwards.count) == (len(forwards), len(backwards))
    assert min(len(forwards), len(backwards)) > 20
    assert tally.forwards.quantile_ms(0.5) == pytest.approx(2, rel=0.02)


def test_reads_that_pile_up_wait_and_count_from_when_they_were_meant() -> None:
    sockets = Sockets(1, 1)
    job = job_of(groups=["ga"], members=1, traffic="reads", rate_per_s=1_000.0, log_entries=500)
    traffic = begun(sockets, job)
    traffic.make_due(START_NS + 19 * SECOND_NS // 1_000)
    assert len(sockets.written) == Reads.at_once_max
    client = sockets.clients[0]
    told(traffic, client, START_NS, t="error", code="unavailable", ref="f1")
    # The next of them went out at once.
    assert client.reading == Reads.at_once_max
    assert len(sockets.written) == Reads.at_once_max + 1
    assert not traffic.settled
    assert traffic.done().failed == {"unsent": 11, "unavailable": 1, "unanswered": Reads.at_once_max}


def response(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_over_http_one_call_at_a_time_goes_on_each_connection() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="rest_reads", rate_per_s=10.0, log_entries=500), warm_s=0.0)
    assert isinstance(traffic, RestReads)
    traffic.make_due(START_NS + SECOND_NS // 5)
    assert [client.user for client, _ in sockets.written] == ["user-1", "user-2"]
    lines = [data.decode().split("\r\n") for _, data in sockets.written]
    for line, host, token, *end in lines:
        assert line.startswith(("GET /v1/groups/ga/entries?after=", "GET /v1/groups/ga/entries?before="))
        assert line.endswith("&limit=50 HTTP/1.1")
        assert host == "Host: h:1"
        assert token.startswith("Authorization: Bearer ")
        assert end == ["", ""]
    assert traffic.tally.failed == {}
    traffic.received(sockets.clients[1], response(b"{}"), START_NS + SECOND_NS)
    assert [client.user for client, _ in sockets.written] == ["user-1", "user-2", "user-2"]


def test_an_answer_over_http_may_come_in_any_pieces() -> None:
    sockets = Sockets(1, 1)
    job = job_of(groups=["ga"], members=1, traffic="rest_reads", rate_per_s=10.0, log_entries=500)
    traffic = begun(sockets, job, warm_s=0.0)
    assert isinstance(traffic, RestReads)
    client = sockets.clients[0]
    whole = response(json.dumps({"entries": [{"sender": "user-1"}] * 50}, separators=(",", ":")).encode())
    for number, cut in enumerate((1, 20, whole.index(b"\r\n\r\n") + 2, len(whole) - 1)):
        now_ns = START_NS + number * SECOND_NS // 10
        traffic.make_due(now_ns)
        kept = traffic.received(client, whole[:cut], now_ns + 1_000_000)
        assert traffic.tally.accepted == number
        assert traffic.received(client, kept + whole[cut:], now_ns + 3_000_000) == b""
    tally = traffic.done()
    assert (tally.accepted, tally.entries_read, tally.failed) == (4, 200, {})
    assert tally.forwards.count + tally.backwards.count == 4
    assert max(tally.forwards.quantile_ms(1.0), tally.backwards.quantile_ms(1.0)) == pytest.approx(3, rel=0.02)


def test_a_problem_over_http_is_counted_by_its_status() -> None:
    sockets = Sockets(1, 1)
    job = job_of(groups=["ga"], members=1, traffic="rest_reads", rate_per_s=10.0, log_entries=500)
    traffic = begun(sockets, job, warm_s=0.0)
    assert isinstance(traffic, RestReads)
    traffic.make_due(START_NS)
    assert traffic.received(sockets.clients[0], response(b"{}", "429 Too Many Requests"), START_NS) == b""
    assert traffic.settled
    assert traffic.done().failed == {"HTTP 429": 1}
