"""REST as a stranger meets it: the commands of the page, as printed; and lost answers."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from folkmoot.testing.rude_client import RudeClient
from folkmoot.testing.served import served

ROOT = Path(__file__).parents[2]


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.fail("curl is needed. On Debian: apt-get install curl")
    page = (ROOT / "docs" / "how-to" / "rest.md").read_text()
    # A line end after each command's output, so that one answer a line can be read.
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).replace("curl -sS", r"curl -w '\n' -sS")

    async def run() -> None:
        async with served(tmp_path) as server:
            script = commands.replace("http://127.0.0.1:8420", server.url)
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            process = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", script,
                stdout=asyncio.subprocess.PIPE,
                env={"PATH": path, "FOLKMOOT_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)},
            )  # fmt: skip
            output, _ = await process.communicate()
            assert process.returncode == 0
        (
            made,
            sent,
            again,
            chats,
            page,
            forwards,
            one,
            read,
            added,
            role,
            removed,
            members,
            conflict,
            theirs,
            named,
            users,
        ) = [json.loads(line) for line in output.splitlines() if line.strip()]
        assert made["seq"] == 1
        assert sent == again == {"id": "message-1", "group": made["group"], "seq": 2}
        assert chats["chats"][0]["last"]["body"] == {"text": "Good morning"}
        assert chats["chats"][0]["unread"] == 1
        assert [entry["seq"] for entry in page["entries"]] == [1, 2]
        assert forwards["entries"] == [one] == page["entries"][1:]
        assert (read["read"], read["unread"]) == (2, 0)
        assert [answer["seq"] for answer in (added, role, removed)] == [3, 4, 5]
        assert [(row["user"], row["role"]) for row in members["members"]] == [("user-1", "owner"), ("user-2", "admin")]
        assert [chat["name"] for chat in theirs["chats"]] == ["Coffee"]
        assert (named["name"], named["data"], named["active"]) == ("User Two", {"plan": "free"}, True)
        assert [user["user"] for user in users["users"]] == ["user-2"]
        assert (conflict["status"], conflict["code"], conflict["definite"]) == (409, "send_id_conflict", True)

    asyncio.run(run())


def test_a_post_whose_answer_was_lost_is_found_by_the_next(tmp_path: Path) -> None:
    """The connection breaks as soon as the request is out: whatever became of it, the same key gives one number."""

    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            made = await rest.post("/groups", json={"name": "g"}, headers={"Idempotency-Key": "make"})
            group = made.json()["group"]
            for number in range(20):
                body = json.dumps({"text": f"{number}"}).encode()
                head = (
                    f"POST /v1/groups/{group}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer"
                    f" {server.token('user-1')}\r\nIdempotency-Key: m-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                async with RudeClient.connect(server.port) as client:
                    client.say(head.encode() + body)
                    await client.flush()
            found = []
            for number in range(20):
                message = {"json": {"text": f"{number}"}, "headers": {"Idempotency-Key": f"m-{number}"}}
                answers = [await rest.post(f"/groups/{group}/messages", **message) for _ in range(2)]  # type: ignore[arg-type]
                assert {answer.status_code for answer in answers} == {201}
                assert len({answer.json()["seq"] for answer in answers}) == 1
                found.append(answers[0].json()["seq"])
            assert sorted(found) == list(range(2, 22))
            assert (await rest.get(f"/groups/{group}")).json()["messages"] == 20

    asyncio.run(run())


@pytest.mark.parametrize(
    "target",
    [
        "/v1/groups/%", "/v1/groups/%ff", "/v1/groups/%00", "/v1/groups/%2e%2e/entries", "/v1/groups?after=%ff",
        "/v1/groups?limit=%", "/v1/chats?cursor=%c3%28", "/v1/groups/g/entries?at=%f0", "/v1/users/%ed%a0%80",
        "/v1/groups/g/members/%e2%80%a8", "/v1/groups/" + "x" * 5_000, "/v1/groups/g/entries/" + "9" * 400,
        "/v1/groups/g/entries/-1", "/v1/groups/g/entries/1.5", "/v1/groups?after=a&after=b", "/v1//groups", "/v1",
        "/v1/groups/g/entries/%D9%A1", "/v1/nothing", "/v1/docs/../../secret.key", "/v1/groups;x=1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_a_problem_and_no_fault(tmp_path: Path, target: str) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, RudeClient.connect(server.port) as client:
            for header in (
                b"",
                b"Authorization: Bearer \xff\xfe\r\n",
                b"Authorization: Bearer " + server.token("user-1").encode() + b"\r\n",
            ):
                client.say(f"GET {target} HTTP/1.1\r\nHost: x\r\n".encode() + header + b"\r\n")
                answer = await client.answer()
                assert 200 <= answer.status < 500, answer
                if answer.status >= 400:
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.json()["code"]

    asyncio.run(run())


CALLS = [
    ("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("GET", "/members", None),
    ("POST", "/members", {"users": ["user-9"]}), ("DELETE", "/members/user-1", None),
    ("DELETE", "/members/user-9", None), ("PUT", "/members/user-1/role", {"role": "member"}), ("POST", "/join", None),
    ("POST", "/messages", {"text": "x"}), ("POST", "/messages", {"text": "x", "join": 1}),
    ("POST", "/messages", {"text": "x", "join": 99, "after": "a"}), ("GET", "/entries", None),
    ("GET", "/entries?after=0", None), ("GET", "/entries?before=9", None), ("GET", "/entries?at=0", None),
    ("GET", "/entries/1", None), ("GET", "/read", None), ("PUT", "/read", {"seq": 1}), ("PUT", "/read", {"seq": 99}),
    ("GET", "/stream", None),
]  # fmt: skip


def test_a_group_that_one_is_no_member_of_is_by_every_call_as_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-9") as stranger:
            made = await owner.post(
                "/groups", json={"name": "g", "members": ["user-2"]}, headers={"Idempotency-Key": "make"}
            )
            group = made.json()["group"]
            before = (await owner.get(f"/groups/{group}")).json()
            for number, (method, path, body) in enumerate(CALLS):
                key = {"Idempotency-Key": f"k-{number}"}
                there, nowhere = [
                    await stranger.request(method, f"/groups/{one}{path}", json=body, headers=key)
                    for one in (group, "gaaaaaaaaaaaaaaaaaaaaaaaa")
                ]
                assert (there.status_code, there.json()["code"]) == (404, "no_such_group"), (method, path)
                assert there.content == nowhere.content
                assert there.headers == nowhere.headers
            assert (await owner.get(f"/groups/{group}")).json() == before

    asyncio.run(run())


def test_who_was_removed_sees_nothing_more_by_any_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as gone:
            body = {"name": "g", "members": ["user-2"]}
            group = (await owner.post("/groups", json=body, headers={"Idempotency-Key": "make"})).json()["group"]
            await owner.delete(f"/groups/{group}/members/user-2")
            secret = {"text": "a word after the removal"}
            await owner.post(f"/groups/{group}/messages", json=secret, headers={"Idempotency-Key": "m"})
            before = (await owner.get(f"/groups/{group}")).json()
            for number, (method, path, asked) in enumerate(CALLS):
                if path == "/stream":
                    continue  # It has the rest up to the removal: tests/gateway/rest/test_streams.py.
                key = {"Idempotency-Key": f"k-{number}"}
                answer = await gone.request(method, f"/groups/{group}{path}", json=asked, headers=key)
                assert answer.status_code == 404, (method, path, answer.text)
                assert answer.json()["code"] in ("no_such_group", "membership_over")
                assert "word" not in answer.text
            assert (await gone.get("/groups")).json()["groups"] == []
            assert (await gone.get("/chats")).json()["chats"] == []
            assert (await owner.get(f"/groups/{group}")).json() == before

    asyncio.run(run())
