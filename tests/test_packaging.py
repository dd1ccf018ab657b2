"""What an installation brings, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path).namelist()


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel: list[str]) -> None:
    assert "a2a_sup/py.typed" in wheel


def test_the_wheel_holds_the_package_and_its_license_only(wheel: list[str]) -> None:
    about = f"a2a_sup-{version('a2a_sup')}.dist-info"
    assert {name.split("/")[0] for name in wheel} == {"a2a_sup", about}
    assert f"{about}/licenses/LICENSE" in wheel


def test_the_wheel_holds_the_page_and_the_licences_of_its_libraries(wheel: list[str]) -> None:
    folder = ROOT / "a2a_sup" / "serve" / "static"
    files = {str(path.relative_to(ROOT)) for path in folder.rglob("*") if path.is_file()}
    assert files <= set(wheel)
    assert sum("/vendor/LICENSE." in name for name in files) == 3


def test_importing_the_package_is_cheap() -> None:
    imported = python("-c", "import sys, a2a_sup; print(*sys.modules, sep='\\n')").split()
    assert "a2a_sup" in imported
    costly = {"a2a_sup.app", "a2a_sup.serve", "click", "mcp", "rich", "structlog"}
    assert costly.isdisjoint(imported)


@pytest.mark.parametrize("name", ["constraints.txt", "tests/npm/package-lock.json"])
def test_lock_files_name_no_place_to_download_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert '"resolved"' not in text
    assert "index-url" not in text
    assert "file:" not in text
