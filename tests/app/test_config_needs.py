"""Needs of siblings in files: read, checked, handed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2a_sup.app.config import ConfigError, build, read_config
from a2a_sup.app.reload_plan import plan
from a2a_sup.checks import memory
from a2a_sup.model.needs import Need
from a2a_sup.model.spec import SupervisorSpec

DB = "[children.db]\ncommand = ['db']\nprobes = [{ purpose = 'readiness', tcp = '127.0.0.1:1' }]\n"
WEB = "[children.web]\ncommand = ['web']\nafter = { db = 'ready' }\n"


def mistakes(folder: Path, text: str) -> list[str]:
    file = folder / "tree.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(file, {})
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def test_needs_reach_the_tree(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    group = "[children.group]\nafter = { web = 'started' }\n[children.group.children]\n"
    file.write_text(WEB + DB + group)
    config = read_config(file, {})
    run = build(config, logs_dir=None).run
    assert isinstance(run, SupervisorSpec)
    assert [dict(child.after) for child in run.children] == [
        {"db": Need.READY},
        {},
        {"web": Need.STARTED},
    ]
    file.write_text(WEB.replace("ready", "started") + DB + group)
    (step,) = plan(config, read_config(file, {})).steps
    assert str(step) == "update   web  (after.db)"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (WEB.replace("ready", "reddy") + DB, 'children.web.after.db: found "reddy"; allowed: '),
        (WEB.replace("db", "dbs") + DB, "no sibling of this name; did you mean 'db'?"),
        (WEB + "[children.db]\ncommand = ['db']\n", "db has nothing that says when it is ready"),
        (WEB + DB + "enabled = false\n", "children.web.after.db: db is not run"),
        ("[supervisor]\nstrategy = 'rest_for_one'\n" + WEB + DB, "allowed: under one_for_one"),
        (WEB + DB + "after = { web = 'started' }\n", "children need each other: web -> db -> web"),
        (WEB + "[children.db.children]\n", "nothing that says when it is ready"),
        ("[children.web]\ncommand = ['w']\nafter = ['db']\n" + DB, "allowed: a table"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, mistake: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert mistake in found


def test_a_memory_limit_is_a_probe_and_changes_in_place(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("[children.a]\ncommand = ['a']\nmemory_limit = '512MiB'\n")
    config = read_config(file, {})
    run = build(config, logs_dir=None).run
    assert isinstance(run, SupervisorSpec)
    (probe,) = run.children[0].probes
    assert (probe.name, probe.check) == ("memory", memory(512 << 20))
    file.write_text("[children.a]\ncommand = ['a']\nmemory_limit = '1GiB'\n")
    (step,) = plan(config, read_config(file, {})).steps
    assert str(step) == "update   a  (memory_limit)"
