"""Traces: one message's way is one trace over all roles; nothing of its content is in it; off, nothing is imported."""

import asyncio
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.protocol import events as ev
from folkmoot.telemetry.traces import OpenTelemetry, open_traces
from folkmoot.testing.edge import Edge, Talker


def a_tracer(ratio: float = 1.0, draws: Iterator[float] | None = None) -> tuple[OpenTelemetry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    drawn = draws or iter(lambda: 0.5, None)
    return OpenTelemetry(SimpleSpanProcessor(exporter), ratio=ratio, draw=lambda: next(drawn), version="1"), exporter


def tree(spans: tuple[ReadableSpan, ...]) -> dict[str, str]:
    """Each span's name, and its parent's, where there is one of each."""
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    assert len(set(names.values())) == len(names) == len(spans)
    return {span.name: names[span.parent.span_id] if span.parent is not None else "" for span in spans}


WAY = {
    "submit": "",
    "route": "submit",
    "append": "route",
    "publish": "route",
    "deliver": "publish",
    "push": "deliver",
}


async def two_members(edge: Edge) -> tuple[Talker, Talker, str]:
    owner, other = await edge.member("user-1"), await edge.member("user-2")
    answer = await owner.asked("", "group.created", {"name": "g", "members": ["user-2"]}, "make", join=0)
    for talker in (owner, other):
        await talker.wait(ev.Recovered)
    return owner, other, answer.group


def test_one_message_is_one_trace_whose_steps_follow_one_another_over_the_roles() -> None:
    async def run() -> None:
        tracer, exporter = a_tracer()
        async with Edge(MemoryStore(Disk(), bucket_size=8), tracer=tracer) as edge:
            owner, other, group = await two_members(edge)
            exporter.clear()
            await owner.asked(group, "message", {"text": "hush-hush"}, "send-1")
            await other.until(lambda: other.seqs(group)[-1:] == [2])
            spans = exporter.get_finished_spans()
            assert tree(spans) == WAY
            assert len({span.context.trace_id for span in spans if span.context is not None}) == 1
            found = {span.name: dict(span.attributes or {}) for span in spans}
            assert found["submit"] == {
                "folkmoot.group": group, "folkmoot.kind": "message", "folkmoot.outcome": "accepted",
                "folkmoot.code": "",
            }  # fmt: skip
            assert found["publish"]["folkmoot.seq"] == found["push"]["folkmoot.seq"] == 2
            assert (found["deliver"]["folkmoot.edges"], found["push"]["folkmoot.deliveries"]) == (1, 2)
            told = " ".join(span.to_json() for span in spans)
            for secret in ("hush-hush", "user-1", "user-2"):
                assert secret not in told

    asyncio.run(run())


def test_of_a_batch_each_sampled_send_has_a_trace_of_its_own_and_the_others_none() -> None:
    async def run() -> None:
        tracer, exporter = a_tracer(0.5, iter([0.9, 0.1, 0.9, 0.1, 0.9, 0.9]))
        async with Edge(MemoryStore(Disk(), bucket_size=100), tracer=tracer) as edge:
            owner, other, group = await two_members(edge)
            for n in range(5):
                owner.ask(group, "message", {"text": "x"}, f"s{n}")
            await other.until(lambda: other.seqs(group)[-1:] == [6])
            await owner.until(lambda: owner.count(ev.Accepted) == 6)
            spans = exporter.get_finished_spans()
            traces = {span.context.trace_id for span in spans if span.context is not None}
            assert len(traces) == 2
            for trace in traces:
                assert tree(tuple(s for s in spans if s.context is not None and s.context.trace_id == trace)) == WAY
            assert {(s.attributes or {}).get("folkmoot.seq") for s in spans if s.name == "push"} == {2, 4}

    asyncio.run(run())


def test_a_send_that_makes_no_entry_has_a_trace_that_ends_with_why() -> None:
    async def run() -> None:
        tracer, exporter = a_tracer()
        async with Edge(MemoryStore(Disk(), bucket_size=8), tracer=tracer) as edge:
            owner, _, group = await two_members(edge)
            exporter.clear()
            await owner.asked(group, "no.such.kind", {}, "x")
            spans = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
            assert set(spans) == {"submit", "route", "append"}
            assert spans["submit"]["folkmoot.outcome"] == "refused"
            assert spans["submit"]["folkmoot.code"] == spans["route"]["folkmoot.code"] != ""

    asyncio.run(run())


@pytest.mark.parametrize("context", ["", "00", "00-xx-yy-01", "00-0-0-01", "nonsense-of-any-kind"])
def test_a_context_that_is_none_begins_nothing(context: str) -> None:
    tracer, exporter = a_tracer()
    assert tracer.child("step", context) is None
    assert exporter.get_finished_spans() == ()


def test_nothing_is_imported_and_no_process_traces_unless_it_is_asked_to() -> None:
    code = """
import sys
from folkmoot.node import lifecycle, wiring
from folkmoot.node.config import Settings
from folkmoot.ports.clock import SystemChance
assert wiring.open_tracer(Settings(), SystemChance(), "1") is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_console_gets_one_object_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    tracer = open_traces("console", ratio=1.0, draw=lambda: 0.0, version="9.8")
    for name in ("one", "two"):
        span = tracer.root(name, seq=7)
        assert span is not None
        span.end()
    tracer.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["name"] for line in lines] == ["one", "two"]
    assert lines[0]["attributes"] == {"folkmoot.seq": 7}
    assert lines[0]["resource"]["attributes"]["service.version"] == "9.8"


def test_a_collector_gets_what_is_left_at_the_close() -> None:
    got: list[tuple[str, str, int]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            got.append((self.path, self.headers["Content-Type"], len(self.rfile.read(size))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        tracer = open_traces(url, ratio=1.0, draw=lambda: 0.0, version="1")
        span = tracer.root("one")
        assert span is not None
        span.end()
        tracer.close()
        server.shutdown()
        thread.join()
    ((path, kind, size),) = got
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    assert size > 50
