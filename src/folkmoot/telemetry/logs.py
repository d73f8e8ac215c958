"""Structured logs: one event a line, never a message's body, a token or a secret."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

NEVER_LOGGED: Final = frozenset(
    {"body", "text", "data", "token", "secret", "salt", "authorization", "payload", "frame"}
)
LEFT_OUT: Final = "(left out)"


def configure(*, level: str, as_json: bool, stream: TextIO | None = None) -> None:
    """Send everything, the standard library's logging too, through one pipeline to `stream` (standard error)."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_contents,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    if as_json:
        final: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Its own tracebacks show local variables: messages and tokens among them.
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    # Its warnings are of what clients do: any of them could fill the logs.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def set_level(level: str) -> None:
    """Log from this level on: `debug`, `info`, `warning` or `error`."""
    logging.getLogger().setLevel(level.upper())


def get_logger(name: str) -> Any:
    """A logger: `log.info("event", key=value)`."""
    return structlog.stdlib.get_logger(name)


def without_contents(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: whatever is named like a message's content or a secret is left out, wherever it came from."""
    for name, value in event.items():
        event[name] = _spared(name, value)
    return event


def _spared(name: object, value: Any) -> Any:
    if isinstance(name, str) and name.lower() in NEVER_LOGGED:
        return LEFT_OUT
    if isinstance(value, Mapping):
        return {inner: _spared(inner, content) for inner, content in value.items()}
    return value
