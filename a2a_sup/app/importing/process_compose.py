"""process-compose.yaml (https://f1bonacc1.github.io/process-compose/configuration/)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from a2a_sup.app.documents import DocumentError, read_text
from a2a_sup.app.importing.draft import (
    Draft,
    Entries,
    Imported,
    ImportRefused,
    copies_of,
    is_true,
    literal,
    number_of,
    table_at,
)
from a2a_sup.app.problems import one_line

TOOL = "process-compose"
CONDITIONS = {
    "process_started": "started",
    "process_healthy": "ready",
    "process_completed": "finished",
    "process_completed_successfully": "finished",
    "process_log_ready": "ready",
}
LONG = "365d"
"""Restarts are counted for life there: for as long as anybody looks, here."""
_VARIABLE = re.compile(r"\$\$|\$\{(?P<a>[A-Za-z_]\w*)\}|\$(?P<b>[A-Za-z_]\w*)")
_TRUTH = "tag:yaml.org,2002:bool"
_TEMPLATE = re.compile(r"\{\{\s*\.(?P<name>\w+)\s*\}\}")
_PROCESS = {
    "log_location": "output is kept in the state directory: a2a-sup logs",
    "log_configuration": "see logs",
    "logger": "see logs",
    "is_daemon": "a program that puts itself into the background is killed with its launcher: "
    "start it in the foreground",
    "is_foreground": "no child gets the terminal",
    "is_interactive": "no child gets the terminal",
    "is_tty": "no child gets a terminal",
    "is_elevated": "run a2a-sup as root, with a user for each child",
    "ready_log_line": "a readiness probe, or sd_notify, tells readiness",
    "schedule": 'cron = "0 3 * * *", or every = "5m"',
    "extends": "write out what it extends",
    "disable_ansi_colors": "output is kept byte for byte; set NO_COLOR in env",
    "description": "a comment",
    "vars": "only {{.NAME}} in this file",
    "launch_timeout_seconds": "start_timeout, with sd_notify",
}
_FILE = {
    "version": "of the format",
    "log_location": "output is kept in the state directory: a2a-sup logs",
    "log_level": "a2a-sup run --log-level",
    "log_length": "64 KiB are in memory",
    "log_configuration": "see logs",
    "is_strict": "every unknown key is a mistake always",
    "shell": "see the commands",
    "ordered_shutdown": 'stop_order = "reverse" in [supervisor]',
}


def read(file: Path) -> Imported:
    """Read a file of process-compose.

    Raises:
        ImportRefused: it cannot be read, or PyYAML is missing.
    """
    document = _document(file)
    imported = Imported(TOOL)
    entries = Entries(document)
    shell = _shell(entries.take("shell"))
    variables = table_at(entries.take("vars"), "vars", imported)
    imported.defaults = {"restart": {"type": "temporary"}, "stop_timeout": "10s"}
    if environment := entries.take("environment"):
        imported.defaults["env"] = _environment(environment)
    if (file.parent / ".env").exists():
        imported.defaults["env_file"] = ".env"
    if logs := _rotation(entries.take("log_configuration"), imported):
        imported.defaults["logs"] = logs
    if is_true(entries.take("ordered_shutdown", "false")):
        imported.root["stop_order"] = "reverse"
    entries.take("version")
    processes = entries.take("processes") or {}
    entries.note_rest(imported, _FILE)
    if not isinstance(processes, dict):
        raise ImportRefused(f"{file}: processes is no table of processes")
    drafts: dict[str, list[Draft]] = {}
    for name, given in processes.items():
        drafts[str(name)] = _process(
            str(name), table_at(given, str(name), imported), shell, variables
        )
    if any(draft.keys.get("significant") for each in drafts.values() for draft in each):
        imported.root["auto_shutdown"] = "any_significant"
    _name_needs(drafts)
    ordered = _in_order(drafts, imported)
    imported.children = [draft for name in ordered for draft in drafts[name]]
    return imported


def _document(file: Path) -> dict[str, Any]:
    try:
        import yaml  # noqa: PLC0415 - an extra, and needed for this one format only
    except ImportError:
        raise ImportRefused(f"{file} is YAML: pip install 'a2a_sup[import]' first") from None

    class Loader(yaml.SafeLoader):
        """Reads as the tool does: only true and false are truth values, ON is a word."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - as it is in the class above
            first: [each for each in kinds if each[0] != _TRUTH]
            for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    words = re.compile("(?:true|false)$", re.IGNORECASE)
    Loader.add_implicit_resolver(_TRUTH, words, list("tTfF"))
    try:
        document = yaml.load(read_text(file), Loader)  # noqa: S506 - a SafeLoader
    except (DocumentError, yaml.YAMLError) as exc:
        raise ImportRefused(f"{file}: {one_line(' '.join(str(exc).split()))}") from None
    if not isinstance(document, dict):
        raise ImportRefused(f"{file}: found no table; allowed: processes: ...")
    return document


def _shell(given: object) -> list[str]:
    shell = given if isinstance(given, dict) else {}
    return [str(shell.get("shell_command", "bash")), str(shell.get("shell_argument", "-c"))]


def _rotation(given: object, imported: Imported) -> dict[str, Any]:
    if not isinstance(given, dict):
        return {}
    rotation = Entries(table_at(given.get("rotation"), "rotation", imported))
    logs: dict[str, Any] = {}
    if size := number_of(rotation.take("max_size_mb")):
        logs["max_size"] = f"{size}MiB"
    if (keep := number_of(rotation.take("max_backups"))) is not None:
        logs["keep"] = keep
    if is_true(rotation.take("compress", "false")):
        logs["gzip"] = True
    rotation.note_rest(imported, {"max_age_days": "old files are deleted by their number: keep"})
    others = Entries({key: value for key, value in given.items() if key != "rotation"})
    others.note_rest(imported, {"*": "of log_configuration"})
    return logs


def _process(
    name: str, given: dict[str, Any], shell: list[str], variables: Mapping[str, Any]
) -> list[Draft]:
    copies = copies_of(given.get("replicas", 1), name) or 1
    drafts = []
    for number in range(copies):
        entries = Entries(given)
        entries.take("replicas")
        draft = Draft(f"{name}-{number}" if copies > 1 else name)
        values = {**variables, **table_at(entries.take("vars"), "vars", draft)}
        values["PC_REPLICA_NUM"] = number
        _keys(entries, draft, shell, values)
        if copies > 1:
            draft.keys["tags"] = [*draft.keys.get("tags", []), name]
        drafts.append(draft)
    return drafts


def _keys(entries: Entries, draft: Draft, shell: list[str], values: Mapping[str, Any]) -> None:
    keys = draft.keys
    if entry := entries.take("entrypoint"):
        words = entry if isinstance(entry, list) else [entry]
        keys["command"] = [_ours(_filled(str(word), values, draft)) for word in words]
        if more := entries.take("command"):
            draft.note("command", more, "beside entrypoint")
    elif command := entries.take("command"):
        # What the shell would replace stays for the shell.
        keys["command"] = [*shell, literal(_filled(str(command), values, draft).replace("$$", "$"))]
    if directory := entries.take("working_dir"):
        keys["cwd"] = _ours(_filled(str(directory), values, draft))
    if environment := entries.take("environment"):
        keys["env"] = _environment(
            {key: _filled(value, values, draft) for key, value in _pairs(environment)}
        )
    if file := entries.take("env_file"):
        keys["env_file"] = str(file)
    if is_true(entries.take("disabled", "false")):
        keys["enabled"] = False
    if namespace := entries.take("namespace"):
        keys["tags"] = [str(namespace)]
    _restart(Entries(table_at(entries.take("availability"), "availability", draft)), draft)
    _needs(entries.take("depends_on"), draft)
    _shutdown(Entries(table_at(entries.take("shutdown"), "shutdown", draft)), draft)
    probes = [
        probe
        for purpose in ("readiness", "liveness")
        if (probe := _probe(purpose, entries.take(f"{purpose}_probe"), draft, shell, values))
    ]
    if probes:
        keys["probes"] = probes
    entries.note_rest(draft, _PROCESS)


def _restart(availability: Entries, draft: Draft) -> None:
    word = str(availability.take("restart", "no")).lower()
    policies: dict[str, dict[str, Any]] = {
        "no": {},
        "false": {},
        "always": {"type": "permanent"},
        "on_failure": {"type": "transient"},
        "exit_on_failure": {"type": "transient", "intensity": 0, "when_exhausted": "escalate"},
    }
    restart = policies.get(word, {})
    delay = number_of(availability.take("backoff_seconds", 1)) or 1
    most = number_of(availability.take("max_restarts", 0)) or 0
    if word in ("always", "on_failure"):
        restart |= {"backoff": [f"{max(delay, 1)}s"]}
        restart |= {"intensity": most, "period": LONG} if most else {"intensity": "unlimited"}
    elif word not in ("no", "false", "exit_on_failure"):
        draft.note("restart", word, "not known here; it is not restarted")
    if is_true(availability.take("exit_on_end", "false")):
        draft.keys["significant"] = True
        if restart.get("type") == "permanent":
            restart["type"] = "transient"
    if restart:
        draft.keys["restart"] = restart
    availability.note_rest(draft, {"exit_on_skipped": "no child is skipped"})


def _needs(given: object, draft: Draft) -> None:
    after: dict[str, str] = {}
    for name, how in table_at(given, "depends_on", draft).items():
        needed = table_at(how, f"depends_on.{name}", draft)
        condition = str(needed.get("condition", "process_started"))
        after[str(name)] = CONDITIONS.get(condition, "started")
        if condition == "process_log_ready":
            draft.note("depends_on", f"{name} {condition}", "give that child a readiness probe")
        if condition not in CONDITIONS:
            draft.note("depends_on", f"{name} {condition}", "taken as process_started")
    if after:
        draft.keys["after"] = after


def _name_needs(drafts: Mapping[str, list[Draft]]) -> None:
    """Let what needs a process with copies need each of them, and drop what does not exist."""
    for draft in (draft for each in drafts.values() for draft in each):
        after = draft.keys.pop("after", {})
        for name in after.keys() - drafts.keys():
            draft.note("depends_on", name, "there is no such process")
        named = {copy.name: how for name, how in after.items() for copy in drafts.get(name, ())}
        for copy in (copy for name in after for copy in drafts.get(name, ())):
            if named[copy.name] == "ready" and not _says_ready(copy):
                draft.note("depends_on", f"{copy.name} ready", "it has no probe that says so")
                named[copy.name] = "started"
        if named:
            draft.keys["after"] = named


def _in_order(drafts: Mapping[str, list[Draft]], imported: Imported) -> list[str]:
    """Return the processes so that each comes after those that it needs."""
    ordered: list[str] = []
    owners = {draft.name: name for name, each in drafts.items() for draft in each}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            imported.note(
                "depends_on", " -> ".join((*above, name)), "a cycle: its last need is left"
            )
            _drop_need(drafts[above[-1]], drafts[name])
        elif name not in ordered:
            for needed in dict.fromkeys(
                owners[each] for draft in drafts[name] for each in draft.keys.get("after", ())
            ):
                visit(needed, (*above, name))
            if name not in ordered:
                ordered.append(name)

    for name in drafts:
        visit(name, ())
    return ordered


def _drop_need(needing: list[Draft], needed: list[Draft]) -> None:
    names = {draft.name for draft in needed}
    for draft in needing:
        left = {name: how for name, how in draft.keys.pop("after", {}).items() if name not in names}
        if left:
            draft.keys["after"] = left


def _says_ready(draft: Draft) -> bool:
    return any(probe["purpose"] != "liveness" for probe in draft.keys.get("probes", ()))


def _shutdown(shutdown: Entries, draft: Draft) -> None:
    if (signal := number_of(shutdown.take("signal"))) is not None:
        draft.keys["stop_signal"] = signal
    if (seconds := number_of(shutdown.take("timeout_seconds"))) is not None:
        draft.keys["stop_timeout"] = f"{seconds}s"
    shutdown.drop("parent_only", lambda value: not value)
    shutdown.note_rest(
        draft,
        {
            "command": "a child is stopped by a signal; let its program do this when it gets it",
            "parent_only": "a stop always goes to the whole process group",
        },
    )


def _probe(
    purpose: str, given: object, draft: Draft, shell: list[str], values: Mapping[str, Any]
) -> dict[str, Any] | None:
    if not isinstance(given, dict):
        return None
    entries = Entries(given)
    probe: dict[str, Any] = {"purpose": purpose}
    if isinstance(run := entries.take("exec"), dict):
        command = literal(_filled(str(run.get("command", "")), values, draft))
        probe["command"] = [*shell, command]
        for key in run.keys() - {"command"}:
            draft.note(f"{purpose}_probe.exec.{key}", run[key], "no equal")
    elif isinstance(get := entries.take("http_get"), dict):
        probe |= _http(purpose, Entries(get), draft, values)
    else:
        draft.note(f"{purpose}_probe", given, "neither exec nor http_get")
        return None
    for theirs, ours in (
        ("initial_delay_seconds", "initial_delay"),
        ("period_seconds", "interval"),
        ("timeout_seconds", "timeout"),
    ):
        if (seconds := number_of(entries.take(theirs))) is not None:
            probe[ours] = f"{seconds}s"
    for key in ("success_threshold", "failure_threshold"):
        if count := number_of(entries.take(key)):
            probe[key] = count
    entries.note_rest(draft, {"*": f"of {purpose}_probe"})
    return probe


def _http(purpose: str, get: Entries, draft: Draft, values: Mapping[str, Any]) -> dict[str, Any]:
    scheme, host = str(get.take("scheme", "http")).lower(), str(get.take("host", "127.0.0.1"))
    port = _filled(str(get.take("port", "")), values, draft)
    path = str(get.take("path", "/")).removeprefix("/")
    probe: dict[str, Any] = {}
    probe["http"] = _ours(f"{scheme}://{host}{f':{port}' if port else ''}/{path}")
    if headers := table_at(get.take("headers"), f"{purpose}_probe.http_get.headers", draft):
        probe["headers"] = {str(key): literal(str(value)) for key, value in headers.items()}
    if status := number_of(get.take("status_code", "")):
        probe["status"] = status
    get.note_rest(draft, {"*": f"of {purpose}_probe.http_get"})
    return probe


# --- texts ----------------------------------------------------------------------------------------


def _pairs(given: object) -> Iterable[tuple[str, str]]:
    """Yield variables, given as a table or as a list of ``NAME=value``."""
    if isinstance(given, dict):
        yield from ((str(name), _text(value)) for name, value in given.items())
    elif isinstance(given, list):
        for each in given:
            name, _, value = str(each).partition("=")
            yield name, value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _environment(given: object) -> dict[str, str]:
    return {name: _ours(value) for name, value in _pairs(given)}


def _ours(text: str) -> str:
    """Return a text for our format: its variables, which are empty if they are not set, as ours."""
    parts: list[str] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        parts.append(literal(text[end : match.start()]))
        name = match["a"] or match["b"]
        parts.append(f"${{{name}:-}}" if name else "$")
        end = match.end()
    return "".join([*parts, literal(text[end:])])


def _filled(text: str, values: Mapping[str, Any], draft: Draft) -> str:
    """Return a text with its templates filled in."""

    def replaced(match: re.Match[str]) -> str:
        if match["name"] in values:
            return _text(values[match["name"]])
        draft.note("template", match[0], "not known here; it is left as it is")
        return match[0]

    return _TEMPLATE.sub(replaced, text)
