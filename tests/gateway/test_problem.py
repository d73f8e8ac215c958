"""A problem is JSON that says what is wrong, in a response that can stand alone."""

import json
from http import HTTPStatus

from folkmoot.gateway.problem import MEDIA_TYPE, problem, problem_response


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
