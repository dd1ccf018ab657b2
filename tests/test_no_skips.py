"""The rule of the root conftest.py: in CI a skipped test is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(folder: Path, *, ci: bool) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # twice as fast
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment | ({"CI": "true"} if ci else {}),
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


SKIPS = {
    "a test": "import pytest\ndef test_it(): pytest.skip()\n",
    "a mark": "import pytest\n@pytest.mark.skip\ndef test_it(): pass\n",
    "a module": "import pytest\npytest.skip(allow_module_level=True)\n",
}


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS)
def test_a_skip_fails_the_run_in_ci_and_is_named(folder: Path, source: str) -> None:
    (folder / "test_skipped.py").write_text(source)
    (folder / "test_other.py").write_text("def test_other(): pass\n")
    assert run(folder, ci=False).returncode == 0
    done = run(folder, ci=True)
    assert done.returncode == 1
    assert "test_skipped.py" in done.stdout.partition("skipped tests fail this run")[2]


def test_an_expected_failure_is_not_a_skip(folder: Path) -> None:
    (folder / "test_xfail.py").write_text(
        "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    )
    assert run(folder, ci=True).returncode == 0


def test_code_in_the_documentation_runs(folder: Path) -> None:
    (folder / "README.md").write_text("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    done = run(folder, ci=True)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
