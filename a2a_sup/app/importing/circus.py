"""circus.ini (https://circus.readthedocs.io/en/latest/for-ops/configuration/)."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path
from typing import Any

from a2a_sup.app.importing.draft import (
    Draft,
    Entries,
    Imported,
    copies_of,
    in_start_order,
    is_true,
    literal,
    not_in_tree,
    number_of,
    user_of,
)
from a2a_sup.app.importing.ini import Sections, read_sections

TOOL = "circus"
LIMITS = ("nofile", "core", "as", "cpu")
_VARIABLE = re.compile(r"\$\(circus\.(?P<a>[^)]+)\)|\(\(circus\.(?P<b>[^)]+)\)\)|\$(?P<wid>WID)\b")
_WATCHER = {
    "warmup_delay": "children start as fast as they can",
    "use_sockets": "no socket is passed on; start the program with its own",
    "on_demand": "no socket is passed on",
    "singleton": "every child is one process",
    "max_age*": "restarted on a schedule only from outside",
    "hooks.*": "no code runs inside the supervisor; see webhooks and probes",
    "stdout_stream.*": "output is kept in the state directory: a2a-sup logs",
    "stderr_stream.*": "output and errors share one file; with the format json told apart",
    "close_child_*": "output is always captured",
    "rlimit_*": "limits knows nofile, core, as, cpu",
    "send_hup": "a2a-sup restart, or a signal from outside",
    "virtualenv*": "name the virtual environment's program in the command, or set PATH",
    "copy_path": "set PYTHONPATH in env",
    "respawn": "",
}
_SECTIONS = {
    "circus": "",
    "socket": "no socket is passed on; start the program with its own",
    "plugin": "no code runs inside the supervisor; budgets, probes and webhooks are built in",
}


def read(file: Path) -> Imported:
    """Read a configuration of circus.

    Raises:
        ImportRefused: it cannot be read.
    """
    imported = Imported(TOOL)
    sections = read_sections(file, imported, comments=None, includes=_includes)
    imported.defaults = {"stop_timeout": "30s"}
    Entries(sections.pop("circus", {})).note_rest(imported, {"*": "of [circus]"})
    shared = _environment(sections.pop("env", {}), 0, imported)
    if shared:
        imported.defaults["env"] = shared
    environments = {
        name.removeprefix("env:"): sections.pop(name)
        for name in [*sections]
        if name.startswith("env:")
    }
    for section, entries in sections.items():
        kind, _, name = section.partition(":")
        if kind == "watcher":
            env: dict[str, str] = {}
            for patterns, variables in environments.items():
                if any(fnmatch.fnmatch(name, each.strip()) for each in patterns.split(",")):
                    env |= variables
            imported.children += _watcher(name, entries, env)
        else:
            imported.notes.append(f"[{section}]: {_SECTIONS.get(kind, 'no equal')}")
            Entries(entries).note_rest(imported, {"*": f"of [{section}]"})
    imported.children = in_start_order(imported.children)
    return imported


def _includes(sections: Sections) -> list[str]:
    circus = sections.get("circus", {})
    patterns = circus.pop("include", "").split()
    return patterns + [f"{place}/*.ini" for place in circus.pop("include_dir", "").split()]


def _watcher(name: str, given: dict[str, str], env: dict[str, str]) -> list[Draft]:
    copies = copies_of(given.get("numprocesses", 1), name)
    draft_names = [name] if copies == 1 else [f"{name}-{n + 1}" for n in range(copies or 0)]
    drafts = []
    for number, called in enumerate(draft_names or [name], start=1):
        entries = Entries(given)
        entries.take("numprocesses")
        drafts.append(_process(called, entries, env, number))
        if len(draft_names) > 1:
            drafts[-1].keys["tags"] = [name]
        if not draft_names:
            drafts[-1].note("numprocesses", given["numprocesses"], "taken as 1")
    return drafts


def _process(name: str, entries: Entries, env: dict[str, str], number: int) -> Draft:
    draft = Draft(name)
    keys = draft.keys
    # The larger is the earlier.
    draft.place = -(number_of(entries.take("priority", 0)) or 0)
    if command := _command(entries, draft, number):
        keys["command"] = command
    if directory := entries.take("working_dir"):
        keys["cwd"] = _expanded(directory, number, draft)
    if user := entries.take("uid"):
        keys["user"] = user_of(user)
    if group := entries.take("gid"):
        keys["group"] = user_of(group)
    if env:
        keys["env"] = _environment(env, number, draft)
    if not is_true(entries.take("copy_env", "false")):
        keys["inherit_env"] = ["PATH"]
    if not is_true(entries.take("autostart", "true")):
        not_in_tree(draft, "autostart")
    _limits(entries, keys)
    _stopping(entries, keys)
    _restart(entries, keys)
    _logs(entries, keys)
    entries.note_rest(draft, _WATCHER)
    return draft


def _command(entries: Entries, draft: Draft, number: int) -> list[str]:
    words = [entries.take("cmd", ""), entries.take("args", "")]
    command = _expanded(" ".join(filter(None, words)), number, draft)
    if is_true(entries.take("shell", "false")):
        return ["sh", "-c", command] if command else []
    try:
        return shlex.split(command)
    except ValueError as exc:
        draft.note("cmd", command, f"cannot be split into words ({exc})")
        return []


def _limits(entries: Entries, keys: dict[str, Any]) -> None:
    limits: dict[str, Any] = {}
    for limit in LIMITS:
        value = number_of(entries.take(f"rlimit_{limit}", ""))
        if value is not None:
            limits[limit] = value if value >= 0 else "unlimited"
    if limits:
        keys["limits"] = limits


def _stopping(entries: Entries, keys: dict[str, Any]) -> None:
    if signal := entries.take("stop_signal"):
        keys["stop_signal"] = number_of(signal) or signal
    if (seconds := number_of(entries.take("graceful_timeout"), float)) is not None:
        keys["stop_timeout"] = f"{seconds:g}s"
    # Whatever a child started is always stopped with it.
    entries.drop("stop_children", is_true)


def _restart(entries: Entries, keys: dict[str, Any]) -> None:
    restart: dict[str, Any] = {}
    if not is_true(entries.take("respawn", "true")):
        restart["type"] = "temporary"
    retries = number_of(entries.take("max_retry"))
    if retries is not None:
        restart["intensity"] = retries if retries >= 0 else "unlimited"
    if restart:
        keys["restart"] = restart


def _logs(entries: Entries, keys: dict[str, Any]) -> None:
    logs: dict[str, Any] = {}
    for stream in ("stdout", "stderr"):
        if entries.drop(f"{stream}_stream.class", lambda text: text.strip() == "StdoutStream"):
            logs["forward"] = True
        entries.drop(f"{stream}_stream.class", lambda text: text.strip() == "FileStream")
    if size := number_of(entries.take("stdout_stream.max_bytes")):
        logs["max_size"] = size
    if keep := number_of(entries.take("stdout_stream.backup_count")):
        logs["keep"] = keep
    if logs:
        keys["logs"] = logs


def _environment(given: dict[str, str], number: int, holder: Draft | Imported) -> dict[str, str]:
    return {name: _expanded(value, number, holder) for name, value in given.items()}


def _expanded(text: str, number: int, holder: Draft | Imported) -> str:
    def replaced(match: re.Match[str]) -> str:
        name = match["a"] or match["b"] or match["wid"]
        if name.lower() == "wid":
            return str(number)
        if name.lower().startswith("env."):
            return f"${{{name[4:]}}}"
        holder.note("variable", match[0], "not known here; it is left as it is")
        return match[0]

    return _VARIABLE.sub(replaced, literal(text))
