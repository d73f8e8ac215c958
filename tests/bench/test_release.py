"""A release's file is read back as it was written, and holds one count for each way of counting."""

from pathlib import Path

import msgspec

from folkmoot.bench.counted import Counts
from folkmoot.bench.release import FOLDER, Release, read, with_counts, write

COUNTS = Counts(to_few=90.0, to_many=100.0, writes="c", python="3.11", loop_instructions=500.0)


def test_it_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "results" / "1.0.json"
    assert read(file) is None
    release = with_counts(Release(version="1.0"), COUNTS)
    write(file, release)
    assert read(file) == release


def test_a_new_count_takes_the_place_of_one_counted_alike() -> None:
    otherwise = msgspec.structs.replace(COUNTS, writes="python", to_many=200.0)
    now = msgspec.structs.replace(COUNTS, to_many=99.0)
    release = with_counts(with_counts(with_counts(Release(version="1"), COUNTS), otherwise), now)
    assert release.counts == [now, otherwise]
    assert release.like(COUNTS) == now
    assert release.like(msgspec.structs.replace(COUNTS, python="3.99")) is None


def test_what_is_kept_of_releases_can_be_read() -> None:
    files = sorted((Path(__file__).parents[2] / FOLDER).glob("*.json"))
    assert files
    for file in files:
        release = read(file)
        assert release is not None
        assert release.version == file.stem
        assert file.stat().st_size < 20_000
