"""Tokens: whom they name, when their time is over, and every way to forge one."""

import asyncio
import base64
import fcntl
import hashlib
import hmac
import json
import multiprocessing
import stat
from pathlib import Path
from typing import IO, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.gateway.identity import (
    LEEWAY_S,
    SECRET_FILE,
    Identity,
    Key,
    KeyUnusable,
    SecretUnsafe,
    SignerUnknown,
    TokenRefused,
    Verifier,
    mint,
    public_key,
    secret_of,
)

SECRET = b"s" * 48
NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1_000
HS = Key(algorithm="HS256", material=SECRET)


def pair() -> tuple[bytes, bytes]:
    """An Ed25519 key: private and public, in PEM."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def signed(
    claims: dict[str, Any], key: bytes = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None
) -> str:
    return jwt.encode({"sub": "user-1", "exp": NOW_S + 60} | claims, key, algorithm=algorithm, headers=headers)


def refusal(token: str, *keys: Key, **options: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as refused:
        Verifier(keys or [HS], **options).verify(token, now_ms=NOW_MS)
    # No reason has a dot in it, and every token does.
    assert "." not in token or token not in str(refused.value)
    return refused.value


def raw(header: object, claims: object, signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join([*parts, signature])


def test_a_minted_token_names_its_user_device_and_end() -> None:
    token = mint(SECRET, "user-1", device="phone", lifetime_s=60, now_ms=NOW_MS + 999)
    assert Verifier([HS]).verify(token, now_ms=NOW_MS) == Identity(
        "user-1", "phone", NOW_MS + 60_000, NOW_MS + 999, HS.name
    )
    plain = mint(SECRET, "user-1", lifetime_s=60, now_ms=NOW_MS)
    assert Verifier([HS]).verify(plain, now_ms=NOW_MS).device == ""


def test_an_ed25519_token_is_checked_with_the_public_key() -> None:
    private, public = pair()
    key = Key(algorithm="EdDSA", material=public)
    token = signed({}, private, "EdDSA")
    assert Verifier([key]).verify(token, now_ms=NOW_MS).user == "user-1"
    assert refusal(signed({}, pair()[0], "EdDSA"), key).code == "token_invalid"


def test_the_key_fixes_the_algorithm_and_the_token_has_no_say() -> None:
    private, public = pair()
    ed = Key(algorithm="EdDSA", material=public)
    good = {"sub": "user-1", "exp": NOW_S + 60}
    assert refusal(raw({"alg": "none"}, good)).code == "token_invalid"
    assert refusal(raw({"alg": "none"}, good), ed).code == "token_invalid"
    assert refusal(raw({"alg": "None", "typ": "JWT"}, good, "AAAA")).code == "token_invalid"
    assert refusal(signed({}, SECRET + b"0" * 16, "HS512")).code == "token_invalid"
    assert refusal(signed({}, private, "EdDSA"), HS).code == "token_invalid"


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    # The classic confusion: HS256 over the text of the public key, which everybody has.
    _, public = pair()
    head = raw({"alg": "HS256", "typ": "JWT"}, {"sub": "user-1", "exp": NOW_S + 60}).rstrip(".")
    signature = hmac.new(public, head.encode(), hashlib.sha256).digest()
    token = f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert refusal(token, Key(algorithm="EdDSA", material=public)).code == "token_invalid"
    assert refusal(token, Key(algorithm="EdDSA", material=public), HS).code == "token_invalid"


def test_a_kid_picks_among_keys_and_an_unknown_one_fits_none() -> None:
    other = Key(algorithm="HS256", material=b"o" * 48, kid="old")
    named = Key(algorithm="HS256", material=SECRET, kid="new")
    token = signed({}, headers={"kid": "new"})
    assert Verifier([other, named]).verify(token, now_ms=NOW_MS).user == "user-1"
    assert refusal(signed({}, headers={"kid": "old"}), other, named).code == "token_invalid"
    assert refusal(signed({}, headers={"kid": "none of ours"}), other, named).code == "token_invalid"
    assert Verifier([other, named]).verify(signed({}), now_ms=NOW_MS).user == "user-1"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW_S}, "token_expired"),
        ({"exp": NOW_S - 1}, "token_expired"),
        ({"exp": NOW_S + 0.5}, ""),
        ({"nbf": NOW_S + LEEWAY_S}, ""),
        ({"nbf": NOW_S + LEEWAY_S + 1}, "token_invalid"),
        ({"iat": NOW_S + LEEWAY_S + 1}, "token_invalid"),
        ({"exp": "soon"}, "token_invalid"),
        ({"exp": True}, "token_invalid"),
        ({"exp": -5}, "token_invalid"),
        ({"exp": 10**300}, "token_invalid"),
        ({"exp": float("nan")}, "token_invalid"),
        ({"exp": float("inf")}, "token_invalid"),
        ({"nbf": [1]}, "token_invalid"),
        ({"exp": None}, "token_invalid"),
        ({"sub": ""}, "token_invalid"),
        ({"sub": "two words"}, "token_invalid"),
        ({"sub": "x" * 129}, "token_invalid"),
        ({"sub": "line\nbreak"}, "token_invalid"),
        ({"sub": None}, "token_invalid"),
        ({"device": "two words"}, "token_invalid"),
        ({"device": 7}, "token_invalid"),
        ({"aud": "whoever"}, ""),
    ],
)
def test_claims_are_judged_by_the_clock_that_is_given(claims: dict[str, Any], code: str) -> None:
    token = signed(claims)
    if code:
        assert refusal(token).code == code
    else:
        assert Verifier([HS]).verify(token, now_ms=NOW_MS).user == "user-1"


def test_a_token_for_ever_is_taken_only_where_that_was_asked_for() -> None:
    token = jwt.encode({"sub": "user-1"}, SECRET, algorithm="HS256")
    assert refusal(token).code == "token_invalid"
    assert Verifier([HS], expiry_required=False).verify(token, now_ms=NOW_MS).expires_ms is None
    assert refusal(signed({"exp": NOW_S - 1}), expiry_required=False).code == "token_expired"


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "é.é.é", "x" * 20_000, raw([], []), raw({"kid": 5}, {})])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refusal(token).code == "token_invalid"


@given(st.text(max_size=300))
def test_no_text_is_taken_or_raises_anything_else(text: str) -> None:
    refusal(text)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_token_with_any_byte_changed_is_refused(at: int, by: int) -> None:
    token = bytearray(mint(SECRET, "user-1", lifetime_s=60, now_ms=NOW_MS).encode())
    at %= len(token)
    token[at] = (token[at] + by) % 128
    text = token.decode()
    try:
        found = Verifier([HS]).verify(text, now_ms=NOW_MS)
    except TokenRefused:
        return
    # base64 has bits to spare at its end: another letter there can be the same bytes.
    assert found.user == "user-1"
    assert at == len(token) - 1 or text.encode() == mint(SECRET, "user-1", lifetime_s=60, now_ms=NOW_MS).encode()


def test_a_key_that_is_none_is_turned_away_without_a_word_of_it() -> None:
    rsa = generate_private_key(65_537, 2_048).public_key()
    pem = rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for key in (
        Key(algorithm="HS256", material=b"short"),
        Key(algorithm="HS256", material=pair()[1]),
        Key(algorithm="EdDSA", material=b"not a key at all, whatever it says"),
        Key(algorithm="EdDSA", material=pem),
    ):
        with pytest.raises(KeyUnusable) as unusable:
            Verifier([key])
        assert key.material.decode()[:20] not in str(unusable.value)
        assert key.material.decode() not in repr(key)


def test_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    secret = secret_of(tmp_path)
    assert len(secret) >= 48
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600
    assert secret_of(tmp_path) == secret
    assert secret_of(tmp_path).isalnum()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_secret_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    secret = secret_of(tmp_path)
    (tmp_path / SECRET_FILE).chmod(mode)
    with pytest.raises(SecretUnsafe) as unsafe:
        secret_of(tmp_path)
    assert secret.decode() not in str(unsafe.value)


def test_a_short_secret_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / SECRET_FILE
    path.touch(0o600)
    path.write_bytes(b"too short\n")
    with pytest.raises(SecretUnsafe):
        secret_of(tmp_path)


def test_a_file_whose_maker_was_killed_is_finished(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).touch(0o600)
    secret = secret_of(tmp_path)
    assert len(secret) >= 48
    assert secret_of(tmp_path) == secret


def test_one_that_comes_while_the_secret_is_being_made_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / SECRET_FILE
    path.touch(0o600)
    lock = fcntl.flock

    def lock_once_the_other_has_finished(file: IO[bytes], how: int) -> None:
        path.write_bytes(b"the other's" * 5)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_once_the_other_has_finished)
    assert secret_of(tmp_path) == b"the other's" * 5


def _make(folder: Path, found: "multiprocessing.Queue[bytes]") -> None:
    found.put(secret_of(folder))


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[bytes] = context.Queue()
    children = [context.Process(target=_make, args=(tmp_path, found)) for _ in range(8)]
    for child in children:
        child.start()
    secrets = {found.get(timeout=20) for _ in children}
    for child in children:
        child.join(20)
    assert secrets == {secret_of(tmp_path)}


def public_pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(private: Any) -> bytes:
    pem: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


@pytest.mark.parametrize(
    ("private", "algorithm"),
    [
        (generate_private_key(65_537, 2_048), "RS256"),
        (generate_ec_key(SECP256R1()), "ES256"),
        (Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
def test_a_public_keys_kind_fixes_its_algorithm(private: Any, algorithm: str) -> None:
    key = public_key(public_pem(private), kid="k")
    assert key.algorithm == algorithm
    token = signed({}, private_pem(private), algorithm, {"kid": "k"})
    identity = Verifier([HS, key]).verify(token, now_ms=NOW_MS)
    assert (identity.user, identity.signer) == ("user-1", key.name)
    head, claims, signature = token.split(".")
    forged = raw({"alg": algorithm, "kid": "k"}, {"sub": "user-2", "exp": NOW_S + 60}).rstrip(".")
    assert refusal(f"{forged}.{signature}", key).code == "token_invalid"
    assert refusal(f"{head}.{claims}.{'A' * len(signature)}", key).code == "token_invalid"


def test_an_rsa_key_signs_in_its_one_algorithm_only() -> None:
    private = generate_private_key(65_537, 2_048)
    key = public_key(public_pem(private))
    assert refusal(signed({}, private_pem(private), "RS512"), key).code == "token_invalid"
    assert refusal(signed({}, private_pem(private), "PS256"), key).code == "token_invalid"


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (public_pem(generate_private_key(65_537, 1_024)), "2048 to 8192 bits"),
        (public_pem(generate_ec_key(SECP384R1())), "P-256"),
        (private_pem(Ed25519PrivateKey.generate()), "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        (public_pem(Ed448PrivateKey.generate()), "of a kind"),
    ],
)
def test_a_key_that_is_too_short_private_or_of_another_kind_is_turned_away(pem: bytes, said: str) -> None:
    with pytest.raises(KeyUnusable, match=said):
        Verifier([public_key(pem)])


def test_keys_are_replaced_while_serving_and_whoever_listens_is_told() -> None:
    old, new = Key(algorithm="HS256", material=SECRET, local=True), Key(algorithm="HS256", material=b"n" * 48)
    verifier = Verifier([old])
    told: list[bool] = []
    verifier.on_change.append(lambda: told.append(verifier.knows(old.name)))
    signer = verifier.verify(signed({}), now_ms=NOW_MS).signer
    assert verifier.knows(signer)
    assert not verifier.replace([old])
    assert told == []
    assert verifier.replace([new])
    assert told == [False]
    assert not verifier.knows(signer)
    with pytest.raises(TokenRefused):
        verifier.verify(signed({}), now_ms=NOW_MS)
    with pytest.raises(KeyUnusable):
        verifier.replace([old, Key(algorithm="HS256", material=b"short")])
    assert (told, verifier.knows(new.name), verifier.knows(old.name)) == ([False], True, False)


def test_another_key_under_the_same_kid_is_another_signer() -> None:
    one = Key(algorithm="HS256", material=SECRET, kid="k")
    verifier = Verifier([one])
    verifier.replace([Key(algorithm="HS256", material=b"n" * 48, kid="k")])
    assert not verifier.knows(one.name)


def test_issuer_and_audience_are_checked_of_all_but_the_servers_own_tokens() -> None:
    own = Key(algorithm="HS256", material=b"o" * 48, local=True)
    verifier = Verifier([HS, own], issuer="https://id.example", audience="chat")
    good = {"iss": "https://id.example", "aud": "chat"}
    assert verifier.verify(signed(good), now_ms=NOW_MS).user == "user-1"
    assert verifier.verify(signed(good | {"aud": ["mail", "chat"]}), now_ms=NOW_MS).user == "user-1"
    assert verifier.verify(mint(own.material, "user-2", lifetime_s=60, now_ms=NOW_MS), now_ms=NOW_MS).user == "user-2"
    for wrong in ({"aud": "chat"}, {"iss": "https://id.example"}, good | {"iss": "x"}, good | {"aud": ["mail"]}):
        with pytest.raises(TokenRefused) as refused:
            verifier.verify(signed(wrong), now_ms=NOW_MS)
        assert refused.value.code == "token_invalid"


def test_only_the_servers_own_secret_speaks_of_operators_and_keys() -> None:
    own = Key(algorithm="HS256", material=SECRET, local=True)
    token = signed({"scope": "operator", "key": "k1"})
    identity = Verifier([own]).verify(token, now_ms=NOW_MS)
    assert (identity.operator, identity.key) == (True, "k1")
    identity = Verifier([HS]).verify(token, now_ms=NOW_MS)
    assert (identity.operator, identity.key) == (False, "")
    for scope in ("read", ["operator"], "operator read", None):
        assert not Verifier([own]).verify(signed({"scope": scope}), now_ms=NOW_MS).operator


def test_an_unknown_kid_has_new_keys_looked_for_once() -> None:
    old, new = Key(algorithm="HS256", material=b"o" * 48, kid="old"), Key(algorithm="HS256", material=SECRET, kid="new")
    verifier, sought = Verifier([old]), []
    token = signed({}, headers={"kid": "new"})
    with pytest.raises(SignerUnknown):
        asyncio.run(verifier.identify(token, now_ms=NOW_MS))

    async def seek() -> None:
        sought.append(1)
        verifier.replace([old, new])

    verifier.seek = seek
    assert asyncio.run(verifier.identify(token, now_ms=NOW_MS)).user == "user-1"
    with pytest.raises(SignerUnknown):
        asyncio.run(verifier.identify(signed({}, headers={"kid": "none of ours"}), now_ms=NOW_MS))
    assert sought == [1, 1]
    # Only a key that is unknown is a reason: not a bad signature under a known one, nor a token without a name.
    for hopeless in (signed({}, b"x" * 48, headers={"kid": "new"}), signed({}, b"x" * 48)):
        with pytest.raises(TokenRefused):
            asyncio.run(verifier.identify(hopeless, now_ms=NOW_MS))
    assert sought == [1, 1]


def test_a_servers_secret_is_found_among_its_keys() -> None:
    assert Verifier([HS, Key(algorithm="HS256", material=b"o" * 48, local=True)]).secret == b"o" * 48
    with pytest.raises(KeyUnusable):
        _ = Verifier([HS]).secret


def test_a_token_that_was_verified_is_known_again_until_its_end_or_its_keys() -> None:
    verifier = Verifier([HS])
    token = mint(SECRET, "user-1", lifetime_s=60, now_ms=NOW_MS)
    first = verifier.verify(token, now_ms=NOW_MS)
    assert verifier.verify(token, now_ms=NOW_MS + 59_999) is first
    with pytest.raises(TokenRefused, match="token_expired"):
        verifier.verify(token, now_ms=NOW_MS + 60_000)
    assert verifier.verify(token, now_ms=NOW_MS) is first
    verifier.replace([Key(algorithm="HS256", material=b"t" * 48)])
    with pytest.raises(TokenRefused, match="token_invalid"):
        verifier.verify(token, now_ms=NOW_MS)


def test_only_so_many_tokens_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("folkmoot.gateway.identity.VERIFIED_MAX", 2)
    verifier = Verifier([HS])
    tokens = [mint(SECRET, f"user-{number}", lifetime_s=60, now_ms=NOW_MS) for number in range(3)]
    found = [verifier.verify(token, now_ms=NOW_MS) for token in tokens]
    again = [verifier.verify(token, now_ms=NOW_MS) for token in reversed(tokens)]
    assert [new is old for new, old in zip(again, reversed(found), strict=True)] == [True, True, False]
