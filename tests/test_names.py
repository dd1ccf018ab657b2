"""The public names: what a type checker sees is what a program gets, when it asks for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import a2a_sup

SOURCE = ast.parse(Path(a2a_sup.__file__).read_text(encoding="utf-8"))
SEEN = {
    (node.module, alias.asname)
    for node in ast.walk(SOURCE)
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("a2a_sup")
    for alias in node.names
}


def test_every_name_is_seen_and_given() -> None:
    homes = vars(a2a_sup)["_HOMES"]
    assert {(module, name) for module, names in homes.items() for name in names} == SEEN
    for module, name in SEEN:
        assert name is not None
        given = getattr(a2a_sup, name)
        assert given is getattr(__import__(module, fromlist=[name]), name)
        assert name in dir(a2a_sup)


def test_a_name_that_is_not_there_is_told_as_usual() -> None:
    with pytest.raises(AttributeError, match="module 'a2a_sup' has no attribute 'nothing'"):
        getattr(a2a_sup, "nothing")  # noqa: B009 - mypy knows that it is not there


def test_the_package_alone_imports_nothing_large() -> None:
    program = "import sys, a2a_sup; print(sorted({'trio', 'attrs', 'attr'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_a_name_that_is_a_module_is_given_first_thing() -> None:
    subprocess.run([sys.executable, "-c", "from a2a_sup import events"], check=True)
