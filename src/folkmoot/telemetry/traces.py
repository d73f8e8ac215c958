"""Traces for OpenTelemetry: the one module that imports it, and is imported only where traces are asked for."""

import logging
import sys
from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as OtelSpan

CONSOLE: Final = "console"
EXPORT_SECONDS_MAX: Final = 5.0
"""Of one export, and so of a stop that has spans left; a collector that is away costs them, and nothing else."""

PREFIX: Final = "folkmoot."


class _Span:
    __slots__ = ("_span",)

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def context(self) -> str:
        at = self._span.get_span_context()
        return f"00-{at.trace_id:032x}-{at.span_id:016x}-01"

    def end(self, **attributes: str | int) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(PREFIX + name, value)
        self._span.end()


class OpenTelemetry:
    """`ports.traces.Tracer`: each message with probability `ratio`, drawn once, where its way begins.

    `ratio` may be changed at any time.
    """

    def __init__(self, processor: SpanProcessor, *, ratio: float, draw: Callable[[], float], version: str) -> None:
        resource = Resource.create({"service.name": "folkmoot", "service.version": version})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("folkmoot", version)
        self.ratio = ratio
        self._draw = draw

    def root(self, name: str, **attributes: str | int) -> _Span | None:
        if self._draw() >= self.ratio:
            return None
        return self._begin(name, Context(), attributes)

    def child(self, name: str, parent: str, **attributes: str | int) -> _Span | None:
        above = _parsed(parent)
        if above is None:
            return None
        return self._begin(name, set_span_in_context(NonRecordingSpan(above), Context()), attributes)

    def close(self) -> None:
        """Export what is left. Blocks for EXPORT_SECONDS_MAX at most."""
        self._provider.shutdown()

    def _begin(self, name: str, context: Context, attributes: dict[str, str | int]) -> _Span:
        named = {PREFIX + key: value for key, value in attributes.items()}
        return _Span(self._tracer.start_span(name, context=context, attributes=named))


def open_traces(endpoint: str, *, ratio: float, draw: Callable[[], float], version: str) -> OpenTelemetry:
    """A tracer that exports in a thread of its own: to an OTLP collector's URL, or to standard error for `console`."""
    # Its warnings are of each try, many while a collector is away; the error says that spans are lost.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    return OpenTelemetry(BatchSpanProcessor(_exporter(endpoint)), ratio=ratio, draw=draw, version=version)


def _exporter(endpoint: str) -> SpanExporter:
    if endpoint == CONSOLE:
        return ConsoleSpanExporter(out=sys.stderr, formatter=_line)
    return OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS_MAX)


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _parsed(context: str) -> SpanContext | None:
    parts = context.split("-")
    try:
        trace, span = int(parts[1], 16), int(parts[2], 16)
    except (IndexError, ValueError):
        return None
    above = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return above if above.is_valid else None
