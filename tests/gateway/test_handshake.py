"""Which requests for a WebSocket are accepted, and what the others are told."""

import pytest
from multidict import CIMultiDict

from folkmoot.gateway.handshake import (
    PATH,
    Refusal,
    Terms,
    UpgradeRequest,
    acceptance,
    judge,
    origin_allowed,
    origin_fault,
    upgrade_request,
)
from folkmoot.protocol.codec import JSON, Codec
from folkmoot.protocol.events import SUBPROTOCOL_JSON

TERMS = Terms(connections_max=10, origins=())
GOOD = {
    "Host": "chat.example",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": SUBPROTOCOL_JSON,
}


def asked(
    headers: dict[str, str | None],
    path: str = PATH,
    terms: Terms = TERMS,
    open_now: int = 0,
    method: str = "GET",
) -> Codec | Refusal:
    given = CIMultiDict({k: v for k, v in (GOOD | headers).items() if v is not None})
    return judge(UpgradeRequest(method=method, path=path.encode(), headers=given), terms, open_now)


def code(verdict: Codec | Refusal) -> tuple[int, str]:
    assert isinstance(verdict, Refusal)
    return int(verdict.status), verdict.code


def test_a_good_request_gets_the_codec_it_offered() -> None:
    assert asked({}) is JSON
    assert asked({"Sec-WebSocket-Protocol": f"other.v3, {SUBPROTOCOL_JSON},x"}) is JSON


@pytest.mark.parametrize(
    ("headers", "path", "expected"),
    [
        ({}, "/", (404, "not_found")),
        ({}, f"{PATH}/", (404, "not_found")),
        ({}, f"{PATH}?token=a.b.c", (404, "not_found")),
        ({"Sec-WebSocket-Version": "8"}, PATH, (426, "upgrade_required")),
        ({"Sec-WebSocket-Version": None}, PATH, (426, "upgrade_required")),
        ({"Sec-WebSocket-Key": None}, PATH, (400, "bad_request")),
        ({"Sec-WebSocket-Key": "short"}, PATH, (400, "bad_request")),
        ({"Sec-WebSocket-Key": "é" * 24}, PATH, (400, "bad_request")),
        ({"Sec-WebSocket-Protocol": None}, PATH, (400, "unsupported_version")),
        ({"Sec-WebSocket-Protocol": "folkmoot.v9.json"}, PATH, (400, "unsupported_version")),
        ({"Origin": "https://elsewhere.example"}, PATH, (403, "origin_not_allowed")),
    ],
)
def test_others_are_told_why_not(headers: dict[str, str | None], path: str, expected: tuple[int, str]) -> None:
    assert code(asked(headers, path)) == expected


def test_at_the_bound_of_connections_a_newcomer_is_told_to_come_later() -> None:
    assert asked({}, open_now=9) is JSON
    assert code(asked({}, open_now=10)) == (503, "too_many_connections")


def test_a_sub_protocol_may_be_on_any_of_several_lines() -> None:
    headers = [(k, v) for k, v in GOOD.items() if k != "Sec-WebSocket-Protocol"]
    offers = [("Sec-WebSocket-Protocol", "other"), ("Sec-WebSocket-Protocol", SUBPROTOCOL_JSON)]
    request = UpgradeRequest(method="GET", path=PATH.encode(), headers=CIMultiDict([*headers, *offers]))
    assert judge(request, TERMS, 0) is JSON


@pytest.mark.parametrize(
    ("origin", "host", "origins", "allowed"),
    [
        (None, "chat.example", (), True),
        ("https://chat.example", "chat.example", (), True),
        ("https://Chat.Example", "chat.example", (), True),
        ("http://localhost:8420", "localhost:8420", (), True),
        ("http://localhost:3000", "localhost:8420", (), False),
        ("https://elsewhere.example", "chat.example", (), False),
        ("https://chat.example.elsewhere.example", "chat.example", (), False),
        ("null", "chat.example", (), False),
        ("null", "", (), False),
        ("", "", (), False),
        ("http://[", "chat.example", (), False),
        ("https://a.example", "chat.example", ("https://a.example",), True),
        ("https://b.example", "chat.example", ("https://a.example",), False),
        ("https://chat.example", "chat.example", ("https://a.example",), True),
        ("null", "chat.example", ("*",), True),
        ("https://a.example", "chat.example", (), False),
    ],
)
def test_pages_connect_from_where_they_may(
    origin: str | None, host: str, origins: tuple[str, ...], allowed: bool
) -> None:
    assert origin_allowed(origin, host, origins) is allowed


def test_behind_a_proxy_a_page_is_of_the_host_that_was_asked_for_by_https() -> None:
    terms = Terms(connections_max=10, origins=(), host="chat.example", is_https=True)
    for origin, allowed in (("https://chat.example", True), ("http://chat.example", False), ("https://inner", False)):
        assert (asked({"Host": "inner", "Origin": origin}, terms=terms) is JSON) is allowed
    assert asked({"Origin": "http://chat.example"}) is JSON


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("*", True),
        ("https://chat.example", True),
        ("http://localhost:3000", True),
        ("https://[2001:db8::1]:8443", True),
        ("https://chat.example/", False),
        ("https://Chat.example", False),
        ("https://*.example", False),
        ("chat.example", False),
        ("https://", False),
        ("https://a@b.example", False),
        ("https://a.example:99999", False),
        ("null", False),
        ("file:///x", False),
        ("", False),
    ],
)
def test_an_origin_in_a_list_is_written_as_browsers_send_it(text: str, good: bool) -> None:
    assert (origin_fault(text) == "") is good


def test_a_refusal_is_a_problem_and_426_names_the_version() -> None:
    verdict = asked({"Sec-WebSocket-Version": "8"})
    assert isinstance(verdict, Refusal)
    raw = verdict.response()
    assert raw.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"content-type: application/problem+json\r\n" in raw
    assert b"sec-websocket-version: 13\r\n" in raw
    assert b'"code":"upgrade_required"' in raw


def test_only_what_is_judged_is_read_and_a_header_may_come_more_than_once() -> None:
    headers = [(b"host", b"h"), (b"cookie", b"c" * 5_000), (b"sec-websocket-protocol", b"a"), (b"origin", b"\xe9")]
    request = upgrade_request("GET", b"/v1/socket", [*headers, (b"sec-websocket-protocol", b"b")])
    assert (request.method, request.path) == ("GET", b"/v1/socket")
    assert sorted(request.headers.items()) == [
        ("host", "h"),
        ("origin", "\xe9"),
        ("sec-websocket-protocol", "a"),
        ("sec-websocket-protocol", "b"),
    ]


def test_only_get_asks_for_a_socket() -> None:
    assert code(asked({}, method="POST")) == (400, "bad_request")


def test_who_is_accepted_gets_the_proof_of_the_standard() -> None:
    # The example of RFC 6455, 1.3.
    headers = CIMultiDict({"Sec-WebSocket-Key": " dGhlIHNhbXBsZSBub25jZQ== "})
    answer = acceptance(UpgradeRequest(method="GET", path=b"/", headers=headers), JSON)
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\nSec-WebSocket-Protocol: folkmoot.v1.json\r\n\r\n")
