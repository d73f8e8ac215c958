"""Logs: one pipeline for all loggers, a line an event, and never a message, a token or a local variable."""

import contextlib
import io
import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from folkmoot.telemetry.logs import LEFT_OUT, NEVER_LOGGED, configure, get_logger, without_contents

_names = (f"folkmoot.tests.logs.{n}" for n in itertools.count())


@contextlib.contextmanager
def logging_to(*, level: str = "debug", as_json: bool = True) -> Iterator[io.StringIO]:
    """What is logged within, the process's own logging put back afterwards."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before = (root.handlers[:], root.level, uvicorn.level)
    out = io.StringIO()
    try:
        configure(level=level, as_json=as_json, stream=out)
        yield out
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        uvicorn.setLevel(before[2])


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_both_kinds_of_logger_make_the_same_lines() -> None:
    with logging_to() as out:
        ours, theirs = next(_names), next(_names)
        get_logger(ours).info("ready", port=1)
        logging.getLogger(theirs).info("ready", extra={"port": 1})
    first, second = lines(out)
    for line, name in ((first, ours), (second, theirs)):
        assert line.pop("timestamp").endswith("Z")
        assert line.pop("logger") == name
        assert line == {"event": "ready", "port": 1, "level": "info"}


@pytest.mark.parametrize("as_json", [True, False])
def test_contents_and_secrets_are_left_out_whoever_logs_them(as_json: bool) -> None:
    with logging_to(as_json=as_json) as out:
        for name in sorted(NEVER_LOGGED):
            get_logger(next(_names)).warning("told", **{name: "hush-hush"})
            logging.getLogger(next(_names)).warning("told", extra={name: "hush-hush"})
        get_logger(next(_names)).warning("told", send={"Token": "hush-hush", "id": "kept"})
    assert "hush-hush" not in out.getvalue()
    assert out.getvalue().count(LEFT_OUT) == 2 * len(NEVER_LOGGED) + 1
    assert "kept" in out.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_code_and_never_variables(as_json: bool) -> None:
    def fail() -> None:
        a_token_in_hand = "hush" + "-hush"
        raise ValueError(len(a_token_in_hand))

    with logging_to(as_json=as_json) as out:
        for logger in (get_logger(next(_names)), logging.getLogger(next(_names))):
            try:
                fail()
            except ValueError:
                logger.exception("it failed")
    text = out.getvalue()
    assert text.count("ValueError: 9") == 2
    assert text.count("raise ValueError") == 2
    assert "hush-hush" not in text


def test_below_the_level_nothing_is_logged() -> None:
    with logging_to(level="warning") as out:
        ours = get_logger(next(_names))
        ours.info("quiet")
        logging.getLogger(next(_names)).info("quiet")
        ours.error("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_what_clients_do_to_the_http_server_is_no_line() -> None:
    with logging_to() as out:
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["event"] for line in lines(out)] == ["Exception in ASGI application"]


def test_a_line_for_people_is_one_line_and_plain_where_nobody_looks() -> None:
    with logging_to(as_json=False) as out:
        get_logger(next(_names)).info("ready", url="http://127.0.0.1:1")
    assert out.getvalue().count("\n") == 1
    assert "ready" in out.getvalue()
    assert "url=http://127.0.0.1:1" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def test_the_processor_leaves_the_rest_as_it_was() -> None:
    event = {"event": "told", "seq": 7, "body": "x", "where": {"group": "g", "text": "y"}}
    expected = {"event": "told", "seq": 7, "body": LEFT_OUT, "where": {"group": "g", "text": LEFT_OUT}}
    assert without_contents(None, "info", event) == expected
