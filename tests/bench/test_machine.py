"""Facts of a machine are there, and the file system is the one that the folder is on."""

from pathlib import Path

from folkmoot.bench.machine import file_system_of, machine_facts

MOUNTS = """
21 1 254:0 / / rw - ext4 /dev/vda rw
22 21 0:20 / /dev/shm rw,nosuid shared:3 - tmpfs shm rw
23 21 0:21 / /with\\040space rw - xfs /dev/vdb rw
24 21 0:22 / /over rw - ext4 /dev/vdc rw
25 21 0:23 / /over rw - btrfs /dev/vdd rw
broken line
"""


def test_the_deepest_mount_counts_and_of_two_the_later() -> None:
    assert file_system_of(Path("/srv/data"), MOUNTS) == "ext4"
    assert file_system_of(Path("/dev/shm/x"), MOUNTS) == "tmpfs"
    assert file_system_of(Path("/dev/shmx"), MOUNTS) == "ext4"
    assert file_system_of(Path("/with space/a"), MOUNTS) == "xfs"
    assert file_system_of(Path("/over/a"), MOUNTS) == "btrfs"
    assert file_system_of(Path("/srv"), "") == ""


def test_the_facts_name_versions_and_no_host(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path)
    assert facts.cores >= 1
    assert facts.memory_bytes > 100_000_000
    assert facts.kernel.startswith("Linux")
    assert {"picows", "uvloop", "sqlite"} <= set(facts.versions)
    assert facts.file_system
