"""What is secret comes from a file that others cannot read, and never into an error."""

from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest

from folkmoot.backends.nats.credentials import BusUnusable, check_urls, read_credentials, tls_context

JWT = "-----BEGIN NATS USER JWT-----"
SEED = "-----BEGIN USER NKEY SEED-----"


def written(path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return str(path)


def test_no_file_is_no_credentials() -> None:
    assert read_credentials("").options == {}


def test_a_password_may_have_a_colon_and_is_not_shown(tmp_path: Path) -> None:
    credentials = read_credentials(written(tmp_path / "c", "user-1:pass:word\n"))
    assert credentials.options == {"user": "user-1", "password": "pass:word"}
    assert "word" not in repr(credentials)


def test_a_seed_and_a_creds_file_stay_in_their_file(tmp_path: Path) -> None:
    seed = nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()
    file = written(tmp_path / "seed", f"{seed}\n")
    assert read_credentials(file).options == {"nkeys_seed": file}
    creds = f"{JWT}\nx\n------END NATS USER JWT------\n\n{SEED}\n{seed}\n------END USER NKEY SEED------\n"
    file = written(tmp_path / "creds", creds)
    assert read_credentials(file).options == {"user_credentials": file}


@pytest.mark.parametrize("text", ["SUSECRET", f"{JWT}\nx\n", f"{JWT}\nx\n{SEED}", f"{JWT}\nx\n{SEED}\nSUSECRET\n"])
def test_a_seed_that_is_none_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(BusUnusable, match=r"^nats_credentials_file: .* no good seed") as refused:
        read_credentials(written(tmp_path / "c", text))
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "secret", "secret:\n", ":secret", "user-1:secret\nuser-2:secret\n", b"\xff\xfe"])
def test_what_is_neither_is_refused_without_quoting_it(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(BusUnusable, match=r"^nats_credentials_file: ") as refused:
        read_credentials(written(tmp_path / "c", text))
    assert "secret" not in str(refused.value)


def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BusUnusable, match=r"^nats_credentials_file: others can read .* chmod 600"):
        read_credentials(written(tmp_path / "c", "user-1:x", 0o640))
    with pytest.raises(BusUnusable, match=r"^nats_credentials_file: .* cannot be read"):
        read_credentials(str(tmp_path / "none"))


def test_a_url_is_a_server_without_a_password() -> None:
    check_urls(("nats://one:4222", "tls://two:4222", "nats://three", "tls://[::1]:4222"))
    for url in ("http://one", "one:4222", "nats://", "nats://one:4222/x", "nats://one:99999", "nats://[", ""):
        with pytest.raises(BusUnusable, match=r"^nats_urls: each must be"):
            check_urls((url,))
    with pytest.raises(BusUnusable, match=r"^nats_urls: at least one"):
        check_urls(())
    with pytest.raises(BusUnusable, match=r"^nats_urls: a user or password") as refused:
        check_urls(("nats://user-1:secret@one:4222",))
    assert "secret" not in str(refused.value)


def test_tls_is_asked_for_by_a_url_or_a_ca(tmp_path: Path) -> None:
    assert tls_context(("nats://one",), "") is None
    assert tls_context(("nats://one", "tls://two"), "") is not None
    for path in (str(tmp_path / "none"), written(tmp_path / "ca", "no certificate")):
        with pytest.raises(BusUnusable, match=r"^nats_ca_file: "):
            tls_context(("nats://one",), path)
