"""From two configurations to the smallest plan: which keys ask for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2a_sup.app.config import Config, read_config
from a2a_sup.app.reload_plan import Plan, Step, partly, plan

BASE = """
[supervisor]
{rules}
[children.a]
command = ["run", "a"]
env = {{ TOKEN = "secret", LEVEL = "1" }}
[children.b]
command = ["run", "b"]
[children.group]
strategy = "{strategy}"
[children.group.children.x]
command = ["run", "x"]
[children.group.children.y]
command = ["run", "y"]
[children.group.children.z]
command = ["run", "z"]
"""


def base(folder: Path, strategy: str = "one_for_one", rules: str = "") -> str:
    return BASE.format(strategy=strategy, rules=rules)


def config(folder: Path, text: str) -> Config:
    (folder / "tree.toml").write_text(text)
    return read_config(folder / "tree.toml", {})


def planned(folder: Path, before: str, after: str) -> Plan:
    return plan(config(folder, before), config(folder, after))


def steps(found: Plan) -> list[str]:
    return [str(step) for step in found.steps]


def test_equal_files_ask_for_nothing(tmp_path: Path) -> None:
    found = planned(tmp_path, base(tmp_path), "# a comment\n" + base(tmp_path))
    assert found.steps == ()
    assert found.untouched == ("a", "b", "group", "group/x", "group/y", "group/z")
    assert found.lines() == ["nothing to do", "6 untouched"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('command = ["other"]', "command"),
        ('cwd = "elsewhere"', "cwd"),
        ('env.NEW = "x"', "env.NEW"),
        ("inherit_env = false", "inherit_env"),
        ('env_file = ".env"', "env_file"),
        ('user = "nobody"', "user"),
        ('group = "nogroup"', "group"),
        ('umask = "077"', "umask"),
        ("nice = 3", "nice"),
        ("limits.nofile = 64", "limits.nofile"),
    ],
)
def test_what_a_process_is_made_of_asks_for_a_restart(tmp_path: Path, line: str, key: str) -> None:
    before = '[children.a]\ncommand = ["run"]\n[children.b]\ncommand = ["run"]\n'
    changed = before.replace('command = ["run"]\n', "", 1) if "command" in line else before
    after = changed.replace("[children.a]\n", f"[children.a]\n{line}\n")
    found = planned(tmp_path, before, after)
    assert found.steps == (Step("a", "restart", (key,)),)
    assert found.untouched == ("b",)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('restart = "transient"', "restart.type"),
        ('restart.backoff = ["3s"]', "restart.backoff"),
        ("restart.intensity = 9", "restart.intensity"),
        ('stop_timeout = "1m"', "stop_timeout"),
        ('stop_signal = "INT"', "stop_signal"),
        ("success_exit_codes = [0, 3]", "success_exit_codes"),
        ('start_timeout = "1m"', "start_timeout"),
        ('tags = ["t"]', "tags"),
    ],
)
def test_how_it_is_supervised_does_not(tmp_path: Path, line: str, key: str) -> None:
    before = '[children.a]\ncommand = ["run"]\n'
    found = planned(tmp_path, before, before + line)
    assert found.steps == (Step("a", "update", (key,)),)
    assert found.untouched == ()


def test_of_secrets_only_the_names_are_told(tmp_path: Path) -> None:
    after = base(tmp_path).replace('"secret"', '"other"')
    found = planned(tmp_path, base(tmp_path), after)
    assert steps(found) == ["restart  a  (env.TOKEN)"]
    for told in (str(found.to_json()), str(found), str(found.lines())):
        assert "secret" not in told
        assert "other" not in told


def test_added_removed_and_disabled_children(tmp_path: Path) -> None:
    text = base(tmp_path)
    added = text + '[children.c]\ncommand = ["run"]\n'
    assert steps(planned(tmp_path, text, added)) == ["add      c"]
    assert steps(planned(tmp_path, added, text)) == ["remove   c"]
    disabled = text.replace("[children.b]\n", "[children.b]\nenabled = false\n")
    assert steps(planned(tmp_path, text, disabled)) == ["remove   b  (disabled)"]


def test_a_whole_supervisor_comes_and_goes_as_one(tmp_path: Path) -> None:
    text = base(tmp_path)
    without = text[: text.index("[children.group]")]
    found = planned(tmp_path, without, text)
    assert (steps(found), found.untouched) == (["add      group"], ("a", "b"))
    assert steps(planned(tmp_path, text, without)) == ["remove   group"]


def test_another_kind_of_child_takes_its_place_by_a_restart(tmp_path: Path) -> None:
    before = '[children.a]\ncommand = ["run"]\n'
    for after in ('[children.a]\nmcp = ["run"]\n', "[children.a.children]\n"):
        assert planned(tmp_path, before, after).steps == (Step("a", "restart", ("kind",)),)


def test_rules_of_supervisors_change_in_place(tmp_path: Path) -> None:
    before, after = base(tmp_path), base(tmp_path, "one_for_all", "intensity = 3")
    found = planned(tmp_path, before, after)
    assert found.steps[0] == Step("", "update", ("intensity",))
    assert found.steps[1] == Step("group", "update", ("strategy", "stop_order"))
    # Those of a group share their fate: that is another default.
    assert {step.why for step in found.steps[2:]} == {("restart.when_exhausted",)}
    assert not found.paths("restart")


def test_the_root_has_a_name_too(tmp_path: Path) -> None:
    found = planned(tmp_path, base(tmp_path), base(tmp_path, rules='name = "shop"'))
    assert found.steps == (Step("", "update", ("name",)),)


def test_children_that_change_places_are_not_touched_themselves(tmp_path: Path) -> None:
    before = '[children.a]\ncommand = ["run"]\n[children.b]\ncommand = ["run"]\n'
    after = '[children.b]\ncommand = ["run"]\n[children.a]\ncommand = ["run"]\n'
    found = planned(tmp_path, before, after)
    assert (found.steps, found.untouched) == ((Step("", "update", ("order",)),), ("b", "a"))


@pytest.mark.parametrize(
    ("strategy", "changed", "along"),
    [
        ("one_for_one", "y", ""),
        ("one_for_all", "y", "xz"),
        ("rest_for_one", "y", "z"),
        ("rest_for_one", "z", ""),
        ("rest_for_one", "xz", "y"),
    ],
)
def test_a_group_restarts_together(tmp_path: Path, strategy: str, changed: str, along: str) -> None:
    before = after = base(tmp_path, strategy)
    for name in changed:
        after = after.replace(f'["run", "{name}"]', '["other"]')
    found = planned(tmp_path, before, after)
    reasons = {step.path: step.why for step in found.steps}
    assert set(found.paths("restart")) == {f"group/{name}" for name in changed + along}
    assert all(reasons[f"group/{name}"] == ("command",) for name in changed)
    because = (f"with {changed[0]}: {strategy}",)
    assert all(reasons[f"group/{name}"] == because for name in along)
    assert found.untouched == (
        "a",
        "b",
        "group",
        *(f"group/{name}" for name in "xyz" if name not in changed + along),
    )


def test_what_is_read_at_the_start_only_is_named(tmp_path: Path) -> None:
    before = '[agents.same]\n[agents.gone]\n[serve]\nmax_clients = 3\n[children.a]\ncommand = "a"\n'
    after = before.replace("gone", "new").replace("max_clients = 3", 'http = "off"\nready = "any"')
    found = planned(tmp_path, before, after)
    keys = ("serve.http", "serve.max_clients", "serve.ready", "agents.gone", "agents.new")
    assert found.next_start == keys
    assert found.to_json()["next_start"] == list(keys)
    assert found.lines() == [
        "nothing to do",
        f"for the next start: {', '.join(keys)}",
        "1 untouched",
    ]
    assert planned(tmp_path, before, before).next_start == ()


def test_other_webhooks_are_told_without_what_may_be_secret(tmp_path: Path) -> None:
    before = '[[webhooks]]\nurl = "http://x.example/hunter2"\n[children.a]\ncommand = "a"\n'
    found = planned(tmp_path, before, before.replace("hunter2", "hunter3"))
    assert found.lines() == ["update   the webhooks", "1 untouched"]
    assert found.to_json() == {"steps": [], "untouched": ["a"], "next_start": [], "webhooks": True}
    assert not planned(tmp_path, before, before).webhooks


def test_half_a_plan_leaves_a_mixture(tmp_path: Path) -> None:
    old = config(tmp_path, base(tmp_path))
    text = base(tmp_path).replace('["run", "a"]', '["other"]').replace('["run", "y"]', '["other"]')
    text = text.replace('[children.b]\ncommand = ["run", "b"]\n', "")
    new = config(tmp_path, text + '[children.c]\ncommand = ["run"]\n')
    todo = plan(old, new)
    assert steps(todo) == [
        "remove   b",
        "restart  a  (command)",
        "restart  group/y  (command)",
        "add      c",
    ]
    for count in range(len(todo.steps) + 1):
        mixture = partly(old, new, todo.steps[:count])
        assert plan(mixture, new).steps == todo.steps[count:]
