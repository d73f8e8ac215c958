"""What a figure was measured on: cores, kernel, versions, file system. Nothing that names the machine."""

import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

import apsw
import msgspec

from folkmoot import __version__

DISTRIBUTIONS: Final = ("apsw", "httptools", "msgspec", "picows", "uvicorn", "uvloop")
UNSYNCED: Final = {"tmpfs", "ramfs", "devtmpfs"}
"""File systems in memory: a sync there costs nothing and keeps nothing."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a figure depends on. `load_average` is of the last minute, when the facts were taken."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    folkmoot: str
    versions: dict[str, str]
    open_files_max: int
    file_system: str
    load_average: float


def machine_facts(folder: Path) -> Machine:
    """Of this machine, and of the file system that `folder` is on."""
    return Machine(
        processor=_processor(_text(Path("/proc/cpuinfo"))),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {sys.version.split()[0]}",
        folkmoot=__version__,
        versions={name: metadata.version(name) for name in DISTRIBUTIONS} | {"sqlite": apsw.sqlite_lib_version()},
        open_files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        file_system=file_system_of(folder, _text(Path("/proc/self/mountinfo"))),
        load_average=round(os.getloadavg()[0], 2),
    )


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the file system that `folder` is on, by the lines of `mountinfo`; empty where they do not say."""
    whole = folder.resolve()
    found, length = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        words, kinds = before.split(), after.split()
        if len(words) < 5 or not kinds:
            continue
        point = Path(words[4].replace("\\040", " "))
        # The last of equals is mounted over those before it.
        if (point == whole or point in whole.parents) and len(point.parts) >= length:
            found, length = kinds[0], len(point.parts)
    return found


def _processor(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        if line.startswith(("model name", "Model", "Hardware")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
