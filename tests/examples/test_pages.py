"""What pages show does what they say: the README's program runs, other programs parse, every command is one."""

import ast
import asyncio
import os
import re
import shutil
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from folkmoot.cli.main import app
from folkmoot.node.config import Settings
from folkmoot.testing.served import served

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    found = BLOCK.findall(page.read_text())
    return [textwrap.dedent(text) for _, language, text in found if language in languages]


def test_the_readmes_program_runs(tmp_path: Path) -> None:
    (program,) = blocks(ROOT / "README.md", "python")

    async def body() -> None:
        async with asyncio.timeout(60), served(tmp_path) as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-u",
                "-c",
                program.replace("http://127.0.0.1:8420", server.url),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"FOLKMOOT_TOKEN": server.token("user-1")},
            )
            assert process.stdout is not None
            lines = {(await process.stdout.readline()).decode().strip() for _ in range(3)}
            process.kill()
            await process.communicate()
            # The number that the send is answered with and the entries themselves are printed as each comes.
            assert lines == {"2", "1 user-1", "2 user-1 hello"}

    asyncio.run(body())


def test_the_readmes_commands_without_the_sdk_run(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.fail("curl is needed for this test: apt-get install curl")
    (commands,) = (block for block in blocks(ROOT / "README.md", "sh") if "curl" in block)

    async def body() -> None:
        async with asyncio.timeout(60), served(tmp_path) as server:
            process = await asyncio.create_subprocess_exec(
                "bash", "-euc", "set -o pipefail\n" + commands.replace("http://127.0.0.1:8420", server.url),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"FOLKMOOT_TOKEN": server.token("user-1")},
                start_new_session=True,
            )  # fmt: skip
            assert process.stdout is not None
            said = b""
            while b"event: recovered" not in said:
                said += await process.stdout.read(4_096)
                assert not process.stdout.at_eof(), said
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            assert b'"seq":2' in said
            assert b"event: snapshot" in said

    asyncio.run(body())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_program_on_a_page_parses(page: Path) -> None:
    for program in blocks(page, "python"):
        # A part of a program may await, as its function would.
        ast.parse(f"async def part():\n{textwrap.indent(program, '    ')}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    whole: Any = typer.main.get_command(app)
    for line in "\n".join(blocks(page, "", "sh")).splitlines():
        for words in re.findall(r"(?:^|[ /(])folkmoot ([a-z][^)|&]*)", line.partition("  #")[0]):
            verb, *rest = words.split()
            assert verb in whole.commands, f"{page.name}: folkmoot {verb}"
            command = whole.commands[verb]
            if hasattr(command, "commands"):
                assert rest[0] in command.commands, f"{page.name}: folkmoot {verb} {rest[0]}"
                command = command.commands[rest[0]]
            known = {name for parameter in command.params for name in getattr(parameter, "opts", [])} | {"--help"}
            asked = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert asked <= known, f"{page.name}: folkmoot {verb} {asked - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_on_a_page_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", "\n".join([page.read_text()]), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_default_on_a_page_is_the_settings(page: Path) -> None:
    defaults = msgspec.structs.asdict(Settings())
    for name, said in re.findall(r"`([a-z_]+)` \(([\d.,]+)\)", page.read_text()):
        if name in defaults:
            assert float(said.replace(",", "")) == defaults[name], f"{page.name}: {name} is {defaults[name]}"
