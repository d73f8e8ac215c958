"""The page on API keys, as a stranger follows it: its commands as printed, against a real server."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from folkmoot.testing.served import Served, served

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "api-keys.md").read_text()


async def shell(server: Served, script: str, **variables: str) -> str:
    """What a script says that has to succeed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "FOLKMOOT_DATA_DIR": str(server.data_dir), "FOLKMOOT_URL": server.url} | variables
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, stdout=asyncio.subprocess.PIPE, env=environment
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, script
    return output.decode()


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.fail("curl is needed. On Debian: apt-get install curl")
    create, revoke = re.findall(r"^folkmoot key (?:create|revoke) .*$", PAGE, re.MULTILINE)
    chats, token = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)

    async def run() -> None:
        async with served(tmp_path) as server:
            owner = await server.client("user-1")
            await owner.asked("group.created", {"name": "tea room"}, "make")
            key = (await shell(server, create)).strip()
            calls = [call.replace("http://127.0.0.1:8420", server.url) for call in (chats, token)]
            answers = [json.loads(await shell(server, call, FOLKMOOT_API_KEY=key)) for call in calls]
            assert [row["name"] for row in answers[0]["chats"]] == ["tea room"]
            client = await server.stranger()
            client.say({"t": "hello", "token": answers[1]["token"], "versions": [1]})
            assert (await client.wait("welcome"))["user"] == "user-1"
            assert key.split("_")[1] in await shell(server, "folkmoot key list")
            await shell(server, re.sub(r"[0-9a-f]{16}$", key.split("_")[1], revoke))
            assert await client.ended() == ("key_revoked", 4103)
            assert json.loads(await shell(server, calls[0], FOLKMOOT_API_KEY=key))["code"] == "key_revoked"
            assert owner.all("goodbye") == []

    asyncio.run(run())
