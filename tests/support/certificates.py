"""A throwaway certificate authority, made with `openssl`: keys on a curve, valid for a day."""

from __future__ import annotations

import subprocess
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """`certificate`: its own, in a file. `name`: of the authority, and of its files in `directory`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-out", self.certificate),
        )

    def issue(self, name: str, subject: str, *, alternative: str = "", days: int = 1, passphrase: str = "") -> Path:
        """A file with a key and its certificate. `alternative`: like `DNS:localhost`; `days` below 0: expired."""
        key, request, certificate = (self._directory / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "")
        _openssl("req", *_NEW_KEY, "-subj", subject, "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", str(days), "-extfile", extensions, "-out", certificate),
        )
        if passphrase:
            _openssl("ec", "-in", key, "-aes256", "-passout", f"pass:{passphrase}", "-out", key)
        both = self._directory / f"{name}.pem"
        both.write_text(key.read_text() + certificate.read_text())
        return both


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
