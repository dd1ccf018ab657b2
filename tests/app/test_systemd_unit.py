"""The example of a unit is one that systemd takes, and that fits what the program does."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "examples" / "systemd" / "a2a-sup.service"


def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_systemd_takes_it(tmp_path: Path) -> None:
    """With a program and a user that are there; everything else as it is."""
    text = UNIT.read_text(encoding="utf-8")
    program = Path(sys.executable).parent / "a2a-sup"
    text = text.replace("/opt/a2a-sup/bin/a2a-sup", str(program)).replace("=a2a-sup\nG", "=root\nG")
    text = text.replace("Group=a2a-sup", "Group=root")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_key_would_be_found(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("WatchdogSec", "WatchdogSecs")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WatchdogSecs" in done.stderr


def test_it_says_what_the_program_needs() -> None:
    unit = service()
    wanted = {
        "Type": "notify",
        "NotifyAccess": "all",
        "KillMode": "mixed",
        "RestartPreventExitStatus": "2",
        "OOMPolicy": "continue",
    }
    assert {key: unit[key] for key in wanted} == wanted
    assert "WatchdogSec" in unit
