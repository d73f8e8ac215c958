"""The tutorial, as it is printed: every command and program of it, in a fresh folder, against the server it starts.

Only two things are not as on a reader's machine: the packages are those of this environment (pip finds them there and
fetches nothing), and the port is a free one.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?P<before>.*?)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STEP_SECONDS_MAX = 60


class Block(msgspec.Struct, frozen=True):
    """One block of the page: what is to be done with it says the paragraph before it, if there is one."""

    before: str
    language: str
    text: str

    @property
    def file(self) -> str:
        """The name to save it under, "" where it says none."""
        named = re.search(r"Save as `([\w.]+)`:$", self.before)
        return named[1] if named else ""

    @property
    def elsewhere(self) -> bool:
        return re.search(r"another\s+terminal", self.before) is not None


def blocks() -> list[Block]:
    found = BLOCK.finditer(PAGE.read_text())
    return [Block(one["before"].strip().rpartition("\n\n")[2], one["language"], one["text"]) for one in found]


class Terminals:
    """One shell that runs block after block, and others that go on beside it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.beside: list[subprocess.Popen[bytes]] = []
        here = [str(Path(sysconfig.get_path("purelib"))), str(ROOT / "src")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOLKMOOT_", "PIP_"))}
        self.env = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(here),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "FOLKMOOT_PORT": str(port),
            "FOLKMOOT_URL": f"http://127.0.0.1:{port}",
            "no_proxy": "127.0.0.1",
        }
        self.shell = subprocess.Popen(
            ["bash"], cwd=folder, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def here(self, text: str) -> str:
        """What the shell says to a block, once all of it is done; every command but one cut short has to succeed."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        watched = (
            "trap 'code=$?; [[ $code = 28 && $BASH_COMMAND = *--max-time* ]] || echo \"FAILED: $BASH_COMMAND\"' ERR"
        )
        self.shell.stdin.write(f"{watched}\n{self._ported(text)}\ntrap - ERR\necho; echo END-OF-BLOCK\n".encode())
        self.shell.stdin.flush()
        said = []
        for line in self.shell.stdout:
            if line == b"END-OF-BLOCK\n":
                break
            said.append(line.decode())
        output = "".join(said)
        assert "FAILED: " not in output, output
        return output

    def beside_it(self, text: str) -> None:
        """Run a block in a terminal of its own, and let it go on."""
        log = (self.folder / f"terminal-{len(self.beside)}.log").open("wb")
        with log:
            command = ["bash", "-c", self._ported(text)]
            self.beside.append(
                subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True)
            )

    def save(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._ported(text))

    def serves(self) -> None:
        """Return once the server takes sends."""
        for _ in range(STEP_SECONDS_MAX * 20):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.beside[0].wait(0.05)
                break
        pytest.fail((self.folder / "terminal-0.log").read_text())

    def close(self) -> None:
        for process in (self.shell, *self.beside):
            with contextlib.suppress(ProcessLookupError):
                if process is self.shell:
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=STEP_SECONDS_MAX)

    def _ported(self, text: str) -> str:
        return text.replace("127.0.0.1:8420", f"127.0.0.1:{self.port}")


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    opened = Terminals(tmp_path, port)
    try:
        yield opened
    finally:
        opened.close()


def test_the_tutorial_does_what_it_says(terminals: Terminals) -> None:
    said: dict[str, str] = {}
    for block in blocks():
        if block.file:
            terminals.save(block.file, block.text)
        elif block.elsewhere:
            terminals.beside_it(block.text)
            if "folkmoot serve" in block.text:
                terminals.serves()
        else:
            said[block.text.splitlines()[-1]] = terminals.here(block.text)
    output = "".join(said.values())
    # Step 3: one message under one key, as the other member sees it.
    assert len(re.findall(r'{"id":"first","group":"\w+","seq":2}', output)) == 2
    # Step 4: the stream begins at the join, and goes on after its last id.
    whole, resumed = (text for text in said.values() if "event: welcome" in text)
    assert whole.count("event: entry") == 2
    assert resumed.count("event: entry") == 1
    assert '"text":"With milk?"' in resumed
    # Steps 5 and 6: each question has one answer.
    plain = said['python plain.py "Who pours?"'].splitlines()
    assert any(line.startswith("stored as entry ") for line in plain)
    assert any(line.endswith("user-2 Who pours?") for line in plain)
    assert any(line.endswith("bot-1 user-2, nobody knows.") for line in plain)


def test_every_block_is_run_or_saved() -> None:
    found = blocks()
    assert len(found) == PAGE.read_text().count("\n```\n")
    assert {block.language for block in found} == {"sh", "python"}
    assert all(block.file for block in found if block.language == "python"), "say: Save as `name`:"
    assert textwrap.dedent(found[0].text) == found[0].text
