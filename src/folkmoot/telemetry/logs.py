"""Structured logs: one event a line, never a message's body, a token or a secret."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

NEVER_LOGGED: Final = frozenset(
    {"body", "text", "data", "token", "secret", "salt", "authorization", "payload", "frame"}
)


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
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    final: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                final,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def get_logger(name: str) -> Any:
    """A logger: `log.info("event", key=value)`."""
    return structlog.stdlib.get_logger(name)


def without_contents(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: whatever is named like a message's content or a secret is left out, wherever it came from."""
    for name in NEVER_LOGGED & event.keys():
        event[name] = "(left out)"
    return event
