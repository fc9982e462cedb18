"""Where the programs are that tailrace is compared with. They are never installed from here.

Debian 12 lets only one of rsyslog and syslog-ng be installed, since both want to be the system's logger. The other can
be unpacked beside it (`dpkg -x rsyslog_*.deb /opt/rsyslog`); RSYSLOG_ROOT and SYSLOG_NG_ROOT say where.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
_MODULES = {"rsyslog": "rsyslog/ommongodb.so", "syslog-ng": "syslog-ng/*/libafmongodb.so"}
_PACKAGES = {"rsyslog": "rsyslog-mongodb", "syslog-ng": "syslog-ng-mod-mongodb"}


def rsyslog_program() -> str | None:
    return _program("rsyslogd", _root("RSYSLOG_ROOT", "/opt/rsyslog"))


def syslog_ng_program() -> str | None:
    return _program("syslog-ng", _root("SYSLOG_NG_ROOT", "/opt/syslog-ng"))


def mongoimport_program() -> str | None:
    return shutil.which("mongoimport")


def module_of(name: str, program: str) -> Path:
    """The MongoDB output of `rsyslog` or `syslog-ng`, from the tree in which `program` lies. Raises LookupError with
    what to install."""
    root = Path(program).parent.parent
    for library in (*root.glob("lib/*-linux-gnu*"), root / "lib", root / "lib64"):
        for found in library.glob(_MODULES[name]):
            return found
    raise LookupError(f"{name} is here without its output for MongoDB: install {_PACKAGES[name]}")


def _root(variable: str, unpacked: str) -> Path:
    return Path(os.environ.get(variable, unpacked))


def _program(name: str, root: Path) -> str | None:
    for directory in ("usr/sbin", "sbin"):
        if os.access(root / directory / name, os.X_OK):
            return str(root / directory / name)
    return shutil.which(name, path=_PATH)
