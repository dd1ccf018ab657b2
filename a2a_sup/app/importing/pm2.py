"""pm2's ecosystem.json (https://pm2.keymetrics.io/docs/usage/application-declaration/)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import json5

from a2a_sup.app.documents import DocumentError, read_text
from a2a_sup.app.importing.draft import (
    Draft,
    Entries,
    Imported,
    ImportRefused,
    copies_of,
    literal,
    number_of,
    user_of,
)
from a2a_sup.app.problems import one_line
from a2a_sup.model.schedule import BadCron, cron_times

TOOL = "pm2"
INTERPRETERS = {
    ".cjs": "node",
    ".coffee": "coffee",
    ".js": "node",
    ".mjs": "node",
    ".php": "php",
    ".pl": "perl",
    ".py": "python3",
    ".rb": "ruby",
    ".sh": "bash",
    ".ts": "bun",
    ".tsx": "bun",
}
_MEMORY = re.compile(r"(?P<number>[1-9][0-9]*)(?P<unit>[KMG]?)B?", re.IGNORECASE)
_UNITS = {"": "", "K": "KiB", "M": "MiB", "G": "GiB"}
_APP = {
    "exec_mode": "no cluster: each copy opens its own port, for example by an env of its own",
    "max_memory_restart": "memory_limit",
    "watch*": 'name the files: watch = ["src/**/*.js"]',
    "ignore_watch": "watch names the files that count, and what is hidden never does",
    "env_*": "environments by name are files of their own here: a2a-sup run production.toml",
    "cron_restart": "a2a-sup restart from cron; cron here is for what runs and ends",
    "cron": "a2a-sup restart from cron; cron here is for what runs and ends",
    "wait_ready": "a readiness probe, or sd_notify, says the same to any program",
    "listen_timeout": "start_timeout, with a probe or sd_notify",
    "shutdown_with_message": "a stop is a signal; see stop_signal",
    "out_file": "output is kept in the state directory: a2a-sup logs",
    "output": "output is kept in the state directory: a2a-sup logs",
    "error_file": "output and errors share one file; with the format json told apart",
    "error": "output and errors share one file; with the format json told apart",
    "log": "output is kept in the state directory: a2a-sup logs",
    "log_file": "output is kept in the state directory: a2a-sup logs",
    "log_date_format": "a2a-sup logs knows the time of each line; so does the format json",
    "time": "a2a-sup logs knows the time of each line; so does the format json",
    "combine_logs": "each copy has a file of its own",
    "merge_logs": "each copy has a file of its own",
    "pid_file": "a2a-sup status shows pids",
    "treekill": "whatever a child started is always stopped with it",
    "stop_exit_codes": "",
}


def read(file: Path) -> Imported:
    """Read the file of an ecosystem.

    Raises:
        ImportRefused: it cannot be read, or is JavaScript.
    """
    if file.suffix in (".js", ".cjs", ".mjs"):
        raise ImportRefused(
            f"{file} is a program. Turn it into JSON first: node -p "
            f'\'JSON.stringify(require(require("path").resolve("{file}")))\' > ecosystem.json'
        )
    try:
        document = json5.loads(read_text(file))
    except (DocumentError, ValueError) as exc:
        raise ImportRefused(f"{file}: {one_line(str(exc))}") from None
    apps = document.get("apps", [document]) if isinstance(document, dict) else document
    if not isinstance(apps, list) or not all(isinstance(app, dict) for app in apps):
        raise ImportRefused(f'{file}: found no list of apps; allowed: {{"apps": [...]}}')
    imported = Imported(TOOL)
    imported.defaults = {"stop_signal": "SIGINT", "stop_timeout": "1600ms"}
    if isinstance(document, dict) and "apps" in document:
        rest = Entries({key: value for key, value in document.items() if key != "apps"})
        rest.note_rest(imported, {"deploy": "deploying is no business of a supervisor"})
    for app in apps:
        imported.children += _app(app)
    return imported


def _app(given: dict[str, Any]) -> list[Draft]:
    script = str(given.get("script", ""))
    name = str(given.get("name") or Path(script).stem or "app")
    copies = copies_of(given.get("instances", 1), name)
    number_of_drafts = max(copies or 1, 1)
    is_many = number_of_drafts > 1
    drafts = []
    for number in range(number_of_drafts):
        entries = Entries(given)
        draft = Draft(f"{name}-{number}" if is_many else name)
        for key in ("name", "script"):
            entries.take(key)
        if is_many or copies == 1:
            entries.take("instances")
        entries.drop("exec_mode", lambda mode: str(mode).startswith("fork"))
        _command(script, entries, draft)
        _keys(entries, draft)
        _times(entries, draft)
        _restart(entries, draft)
        if is_many:
            variable = str(entries.take("instance_var", "NODE_APP_INSTANCE"))
            draft.keys["env"] = {**draft.keys.get("env", {}), variable: str(number)}
            draft.keys["tags"] = [*draft.keys.get("tags", []), name]
        entries.note_rest(draft, {**_APP, "instances": "taken as 1"})
        drafts.append(draft)
    return drafts


def _command(script: str, entries: Entries, draft: Draft) -> None:
    words = [script]
    interpreter = entries.take("interpreter", entries.take("exec_interpreter"))
    if interpreter is None:
        interpreter = INTERPRETERS.get(Path(script).suffix)
    options: list[str] = []
    for key in ("interpreter_args", "node_args"):
        options += _words(entries.take(key), draft)
    if interpreter and interpreter != "none":
        words = [str(interpreter), *options, script]
    elif options:
        draft.note("interpreter_args", " ".join(options), "there is no interpreter")
    words += _words(entries.take("args"), draft)
    if script:
        draft.keys["command"] = [literal(word) for word in words]


def _words(given: object, draft: Draft) -> list[str]:
    if isinstance(given, list):
        return [str(each) for each in given]
    try:
        return shlex.split(str(given)) if given else []
    except ValueError as exc:
        draft.note("args", given, f"cannot be split into words ({exc})")
        return []


def _keys(entries: Entries, draft: Draft) -> None:
    keys = draft.keys
    if directory := entries.take("cwd"):
        keys["cwd"] = literal(str(directory))
    env = entries.take("env")
    if isinstance(env, dict) and env:
        keys["env"] = {name: literal(_text(value)) for name, value in env.items()}
    if (user := entries.take("uid")) is not None:
        keys["user"] = user_of(user)
    if (group := entries.take("gid")) is not None:
        keys["group"] = user_of(group)
    if (wait := entries.take("kill_timeout")) is not None:
        keys["stop_timeout"] = f"{number_of(wait) or 0}ms"
    if namespace := entries.take("namespace"):
        keys["tags"] = [str(namespace)]
    if entries.take("log_type") == "json":
        keys["logs"] = {"format": "json"}
    _limits(entries, draft)
    for key in ("shutdown_with_message", "merge_logs", "combine_logs", "time"):
        entries.drop(key, lambda value: value is False)
    entries.drop("treekill", bool)


def _limits(entries: Entries, draft: Draft) -> None:
    if (most := entries.take("max_memory_restart")) is not None:
        if found := _MEMORY.fullmatch(str(most).strip()):
            draft.keys["memory_limit"] = f"{found['number']}{_UNITS[found['unit'].upper()]}"
        else:
            draft.note("max_memory_restart", most, _APP["max_memory_restart"])
    watched = entries.take("watch")
    if isinstance(watched, list) and watched:
        # A name without a suffix is most likely a directory.
        names = [str(each).rstrip("/") for each in watched]
        draft.keys["watch"] = [
            literal(name if Path(name).suffix or "*" in name else f"{name}/**") for name in names
        ]
    elif watched:
        draft.note("watch", watched, _APP["watch*"])


def _times(entries: Entries, draft: Draft) -> None:
    """Take a program that is started by the clock and ends by itself, as pm2's users write it."""
    if entries.rest().get("autorestart") is not False:
        return
    for key in ("cron_restart", "cron"):
        given = entries.rest().get(key)
        try:
            draft.keys["cron"] = cron_times(str(given)).expression
        except BadCron:
            continue
        entries.take(key)
        return


def _text(value: object) -> str:
    """Return a value as JavaScript puts it into an environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _restart(entries: Entries, draft: Draft) -> None:
    restart: dict[str, Any] = {}
    if entries.drop("autorestart", lambda value: value is False):
        restart["type"] = "temporary"
    if codes := entries.take("stop_exit_codes"):
        restart.setdefault("type", "transient")
        listed = codes if isinstance(codes, list) else [codes]
        numbers = [number for each in listed if (number := number_of(each)) is not None]
        draft.keys["success_exit_codes"] = numbers
    entries.take("autorestart")
    most = number_of(entries.take("max_restarts"))
    if most is not None:
        restart["intensity"] = most
    if (uptime := entries.take("min_uptime")) is not None:
        restart["min_uptime"] = f"{uptime}ms" if number_of(uptime) is not None else str(uptime)
    if delay := number_of(entries.take("exp_backoff_restart_delay")):
        restart["backoff"] = {"first": f"{min(delay, 15_000)}ms", "factor": 1.5, "cap": "15s"}
    elif delay := number_of(entries.take("restart_delay")):
        restart["backoff"] = [f"{delay}ms"]
    if restart:
        draft.keys["restart"] = restart
