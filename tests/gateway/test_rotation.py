"""The server's secret, changed: which old ones stay good, for how long, and what a change that is cut off leaves."""

import os
import stat
import threading
from pathlib import Path

import pytest

from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe, secret_of
from folkmoot.gateway.rotation import OLD_FILE, OLD_SECRETS_MAX, own_keys, rotate

NOW_MS = 1_800_000_000_000


def good(folder: Path) -> list[tuple[bytes, int | None]]:
    return [(key.material, ends_ms) for key, ends_ms in own_keys(folder)]


def test_an_old_secret_ends_at_once_or_when_it_was_said_to(tmp_path: Path) -> None:
    first = secret_of(tmp_path)
    rotate(tmp_path, keep_old_ms=1_000, now_ms=NOW_MS)
    second = secret_of(tmp_path)
    assert good(tmp_path) == [(second, None), (first, NOW_MS + 1_000)]
    rotate(tmp_path, keep_old_ms=5_000, now_ms=NOW_MS + 10)
    third = secret_of(tmp_path)
    assert good(tmp_path) == [(third, None), (second, NOW_MS + 5_010), (first, NOW_MS + 1_000)]
    # One whose time is over is not carried along, and none is once all are told to end.
    rotate(tmp_path, keep_old_ms=9_000, now_ms=NOW_MS + 1_000)
    assert first not in [secret for secret, _ in good(tmp_path)]
    rotate(tmp_path, keep_old_ms=0, now_ms=NOW_MS + 1_001)
    assert good(tmp_path) == [(secret_of(tmp_path), None)]
    assert len({first, second, third, secret_of(tmp_path)}) == 4


def test_only_so_many_are_kept_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    secret_of(tmp_path)
    for turn in range(OLD_SECRETS_MAX + 3):
        rotate(tmp_path, keep_old_ms=60_000, now_ms=NOW_MS + turn)
    ends = [ends_ms for _, ends_ms in good(tmp_path)]
    assert ends == [None, *(NOW_MS + 60_000 + turn for turn in range(OLD_SECRETS_MAX + 2, 2, -1))]
    for name in (SECRET_FILE, OLD_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_cut_off_anywhere_a_whole_secret_is_there_and_it_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = secret_of(tmp_path)
    replace = Path.replace
    for cut_at in (1, 2):
        turns = 0

        def cut(path: Path, target: Path, limit: int = cut_at) -> Path:
            nonlocal turns
            turns += 1
            if turns == limit:
                raise OSError("power cut")
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", cut)
        with pytest.raises(OSError, match="power cut"):
            rotate(tmp_path, keep_old_ms=1_000, now_ms=NOW_MS)
        monkeypatch.setattr(Path, "replace", replace)
        # Never none, and never the same one twice.
        assert good(tmp_path) == [(first, None)]
    rotate(tmp_path, keep_old_ms=1_000, now_ms=NOW_MS)
    assert [secret for secret, _ in good(tmp_path)] == [secret_of(tmp_path), first]


def test_changes_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    first = secret_of(tmp_path)
    turns = [
        threading.Thread(target=rotate, args=(tmp_path,), kwargs={"keep_old_ms": 1_000, "now_ms": NOW_MS})
        for _ in range(3)
    ]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join(20)
    secrets = [secret for secret, _ in good(tmp_path)]
    assert len(set(secrets)) == 4
    assert first in secrets


def test_where_there_is_no_secret_there_is_nothing_to_change(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rotate(tmp_path, keep_old_ms=0, now_ms=NOW_MS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"secret": 5, "until_ms": 1}]', b"[" * 10])
def test_kept_ones_that_are_damaged_or_open_to_others_are_not_used(tmp_path: Path, content: bytes) -> None:
    secret_of(tmp_path)
    path = tmp_path / OLD_FILE
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(SecretUnsafe, match=OLD_FILE):
        own_keys(tmp_path)
    path.write_bytes(b"[]")
    os.chmod(path, 0o644)
    with pytest.raises(SecretUnsafe, match="chmod 600"):
        own_keys(tmp_path)


def test_no_secret_is_shown_where_an_object_is(tmp_path: Path) -> None:
    secret = secret_of(tmp_path)
    rotate(tmp_path, keep_old_ms=1_000, now_ms=NOW_MS)
    assert secret.decode() not in repr(own_keys(tmp_path))
