"""TLS on the one port: a certificate and its key from files, taken up anew as they change, without losing anybody."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from folkmoot.gateway.watched import LOOK_S, Watched

HANDSHAKE_SECONDS_MAX: Final = 10.0
"""A connection that has not agreed on keys by then is closed."""

SHUTDOWN_SECONDS_MAX: Final = 2.0
"""One that does not answer our farewell is dropped."""

_log = logging.getLogger(__name__)


class CertificateUnusable(Exception):
    """The files cannot be served with. `setting` is the one that is wrong; no key is ever in the text."""

    def __init__(self, setting: str, path: Path, why: str) -> None:
        super().__init__(f"{setting} {path}: {why}")
        self.setting = setting


class Certificate:
    """A certificate with its chain, and its key, both in PEM. Whoever comes is shown the one that was read last."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Raises CertificateUnusable."""
        self._cert_file = cert_file
        self._key_file = key_file
        self._files = Watched([cert_file, key_file])
        self._files.changed()
        self._current = _context_of(cert_file, key_file)
        # A context that has served cannot forget an earlier certificate of another kind: so each is one of its own, and
        # this one hands every handshake over to the last of them.
        self.context = _bare_context()
        self.context.sni_callback = self._hand_over

    def look(self) -> None:
        """Take the files up where they have changed. What is wrong with them is logged, and the old ones stay."""
        if not self._files.changed():
            return
        try:
            self._current = _context_of(self._cert_file, self._key_file)
        except CertificateUnusable as error:
            _log.error("the certificate cannot be taken up, the old one stays", extra={"detail": str(error)})
        else:
            _log.info("the certificate was read again")

    async def watch(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look()
            except Exception:
                _log.exception("the certificate could not be looked at")

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context_of(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """Raises CertificateUnusable, which names the setting: OpenSSL's own words name neither."""
    certificate = _certificate_in(cert_file)
    try:
        key = load_pem_private_key(_read("tls_key_file", key_file), None)
    except TypeError as error:
        raise CertificateUnusable("tls_key_file", key_file, "it has a passphrase: give one without") from error
    except ValueError as error:
        raise CertificateUnusable("tls_key_file", key_file, "not a private key in PEM") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise CertificateUnusable("tls_key_file", key_file, f"not the key of the certificate in {cert_file}")
    context = _bare_context()
    try:
        context.load_cert_chain(cert_file, key_file)
    except (ssl.SSLError, OSError) as error:
        # Such as a key that is too short for what OpenSSL is set up to take.
        reason = getattr(error, "reason", None) or error.strerror or "cannot be loaded"
        raise CertificateUnusable("tls_cert_file", cert_file, str(reason)) from error
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        _log.warning("the certificate's time is over: clients will not connect", extra={"path": str(cert_file)})
    return context


def _certificate_in(path: Path) -> x509.Certificate:
    """The first of the file: the server's own."""
    try:
        return x509.load_pem_x509_certificates(_read("tls_cert_file", path))[0]
    except ValueError as error:
        raise CertificateUnusable("tls_cert_file", path, "not a certificate in PEM") from error


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(setting, path, error.strerror or "cannot be read") from error
