"""A problem is JSON that says what is wrong, in a response that can stand alone."""

import json
from http import HTTPStatus

import pytest

from folkmoot.gateway.problem import MEDIA_TYPE, STATUS, problem, problem_response
from folkmoot.protocol.errors import CODES, Certainty

ONLY_SOCKETS = {
    "window_full", "too_many", "idle", "hello_timeout", "not_json", "bad_event", "frame_too_large", "out_of_state",
    "flood",
}  # fmt: skip


def test_a_problem_names_its_status_and_code() -> None:
    body = json.loads(problem(HTTPStatus.NOT_FOUND, "not_found", "elsewhere"))
    assert body == {"title": "Not Found", "status": 404, "code": "not_found", "detail": "elsewhere"}
    assert "detail" not in json.loads(problem(HTTPStatus.NOT_FOUND, "not_found"))


def test_a_response_is_whole_and_closes_its_connection() -> None:
    head, _, body = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "busy").partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    headers = dict(line.split(": ") for line in lines[1:])
    assert headers == {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
    assert json.loads(body)["code"] == "busy"


def test_every_code_has_a_status_or_is_a_sockets() -> None:
    assert set(CODES) - ONLY_SOCKETS == set(STATUS)
    assert not ONLY_SOCKETS & set(STATUS)


@pytest.mark.parametrize("code", sorted(STATUS))
def test_a_status_goes_with_what_is_known(code: str) -> None:
    status, known = STATUS[code], CODES[code]
    if known.certainty is Certainty.UNDECIDED and code not in ("not_taken", "out_of_turn"):
        assert status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    if known.certainty is Certainty.REFUSED:
        assert status == HTTPStatus.INSUFFICIENT_STORAGE or 400 <= status < 500


def test_a_problem_says_whether_it_happened() -> None:
    body = json.loads(problem(HTTPStatus.SERVICE_UNAVAILABLE, "no_answer", definite=False, retry_after_ms=1_000))
    assert (body["definite"], body["retry_after_ms"]) == (False, 1_000)
