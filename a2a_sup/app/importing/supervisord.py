"""supervisord.conf (https://supervisord.org/configuration.html)."""

from __future__ import annotations

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

TOOL = "supervisord"
SIZES = {"kb": "KiB", "mb": "MiB", "gb": "GiB"}
"""Its kilobytes have 1024 bytes."""
MOST_RETRIES = 50
"""More are as good as without limit."""

_PROGRAM = {
    "stopasgroup": "a stop always goes to the whole process group",
    "killasgroup": "a kill always takes the whole process group, and what left it",
    "redirect_stderr": "both share a file unless logs.format is json",
    "stdout_logfile*": "output is kept in the state directory: a2a-sup logs",
    "stderr_logfile*": "output and errors share one file; with the format json told apart",
    "stdout_capture_maxbytes": "there are no process communication events",
    "stderr_capture_maxbytes": "there are no process communication events",
    "stdout_syslog": "forward = true and a logger behind it",
    "stderr_syslog": "forward = true and a logger behind it",
    "serverurl": "there is no XML-RPC; see the control API",
}
_DAEMON = {
    "logfile*": "the log goes to standard error; redirect it",
    "loglevel": "a2a-sup run --log-level",
    "pidfile": "whoever starts a2a-sup knows its pid; a state directory keeps a second one out",
    "nodaemon": "a2a-sup run stays in the foreground always",
    "silent": "a2a-sup run --log-level error",
    "user": "start a2a-sup as that user",
    "directory": "start a2a-sup in that directory; each child's default cwd is the file's",
    "childlogdir": "output is kept in the state directory: --state-dir",
    "minfds": "set limits where a2a-sup is started",
    "minprocs": "set limits where a2a-sup is started",
}
_SECTIONS = {
    "unix_http_server": "the control socket needs no configuration",
    "inet_http_server": "see --http and A2A_SUP_TOKEN",
    "supervisorctl": "a2a-sup status, start, stop find the control socket by themselves",
    "rpcinterface": "there is no XML-RPC; see the control API",
    "eventlistener": "see webhooks, and the control API's events",
    "fcgi-program": "no socket is shared among processes; start the program with its own",
}
_PERCENT = re.compile(r"%\((?P<name>[^)]+)\)(?P<format>[-0 ]{0,2}\d{0,3}[sdi])|%%")
_PAIR = re.compile(r"""\s*([^=,\s"']+)\s*=\s*("[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")


def read(file: Path) -> Imported:
    """Read a configuration of supervisord.

    Raises:
        ImportRefused: it cannot be read.
    """
    imported = Imported(TOOL)
    here = str(file.absolute().parent)
    sections = read_sections(file, imported, comments=(";", "#"), includes=_includes)
    # What supervisord does unless it is told otherwise.
    imported.defaults = {"restart": {"type": "transient"}, "stop_timeout": "10s"}
    daemon = Entries(sections.pop("supervisord", {}))
    if environment := daemon.take("environment"):
        imported.defaults["env"] = _environment(environment, {"here": here}, imported)
    if umask := daemon.take("umask"):
        imported.defaults["umask"] = umask
    daemon.note_rest(imported, _DAEMON)
    groups = {
        name.removeprefix("group:"): sections.pop(name)
        for name in [*sections]
        if name.startswith("group:")
    }
    programs: dict[str, list[Draft]] = {}
    for section, entries in sections.items():
        kind, _, name = section.partition(":")
        if kind == "program":
            given = {key.lower(): value for key, value in entries.items()}
            programs[name] = _program(name, Entries(given), here)
        else:
            reason = _SECTIONS.get(kind, "no equal")
            imported.notes.append(f"[{section}]: {reason}")
            Entries(entries).note_rest(imported, {"*": f"of [{section}]"})
    drafts = [_group(name, Entries(entries), programs) for name, entries in groups.items()]
    drafts += (draft for program in programs.values() for draft in program)
    imported.children = in_start_order(drafts)
    return imported


def _includes(sections: Sections) -> list[str]:
    return sections.pop("include", {}).get("files", "").split()


def _group(name: str, entries: Entries, programs: dict[str, list[Draft]]) -> Draft:
    group = Draft(name, {"strategy": "one_for_one"})
    group.place = number_of(entries.take("priority", 999)) or 0
    for program in filter(None, re.split(r"[\s,]+", entries.take("programs", ""))):
        if program in programs:
            group.children += programs.pop(program)
        else:
            group.note("programs", program, "there is no such program")
    group.children = in_start_order(group.children)
    entries.note_rest(group, {})
    return group


def _program(name: str, entries: Entries, here: str) -> list[Draft]:
    copies = copies_of(entries.take("numprocs", 1), name) or 1
    first = number_of(entries.take("numprocs_start", 0)) or 0
    pattern = entries.take("process_name", "%(program_name)s")
    given = entries.rest()
    drafts = []
    for number in range(first, first + copies):
        names = {
            "program_name": name,
            "group_name": name,
            "here": here,
            "process_num": number,
            "numprocs": copies,
        }
        called = _expanded(pattern, names, None)
        drafts.append(_process(called, Entries(given), names))
        if copies > 1:
            drafts[-1].keys["tags"] = [name]
    return drafts


def _process(name: str, entries: Entries, names: dict[str, Any]) -> Draft:
    draft = Draft(name)
    draft.place = number_of(entries.take("priority", 999)) or 0
    keys = draft.keys
    if words := _command(entries.take("command", ""), names, draft):
        keys["command"] = words
    if directory := entries.take("directory"):
        keys["cwd"] = _expanded(directory, names, draft)
    if environment := entries.take("environment"):
        keys["env"] = _environment(environment, names, draft)
    if user := entries.take("user"):
        keys["user"] = user_of(user)
    for theirs, ours in (("umask", "umask"), ("stopsignal", "stop_signal")):
        if value := entries.take(theirs):
            keys[ours] = value
    if (seconds := number_of(entries.take("stopwaitsecs"), float)) is not None:
        keys["stop_timeout"] = f"{seconds:g}s"
    if not is_true(entries.take("autostart", "true")):
        not_in_tree(draft, "autostart")
    _restart(entries, draft)
    _logs(entries, draft)
    for key in ("stopasgroup", "killasgroup", "redirect_stderr"):
        entries.drop(key, is_true)
    entries.note_rest(draft, _PROGRAM)
    return draft


def _command(written: str, names: dict[str, Any], draft: Draft) -> list[str]:
    try:
        return shlex.split(_expanded(written, names, draft))
    except ValueError as exc:
        draft.note("command", written, f"cannot be split into words ({exc})")
        return []


def _restart(entries: Entries, draft: Draft) -> None:
    restart: dict[str, Any] = {}
    written = str(entries.take("autorestart", "unexpected")).strip().lower()
    if written != "unexpected":
        restart["type"] = "permanent" if is_true(written) else "temporary"
    if (codes := entries.take("exitcodes")) is not None:
        draft.keys["success_exit_codes"] = [
            code for each in codes.split(",") if (code := number_of(each)) is not None
        ]
    seconds = number_of(entries.take("startsecs"), float)
    if seconds is not None:
        restart["min_uptime"] = f"{seconds:g}s"
    retries = number_of(entries.take("startretries"))
    if retries is not None and retries > MOST_RETRIES:
        restart |= {"intensity": "unlimited", "backoff": {"first": "1s", "cap": "60s"}}
    elif retries is not None:
        delays = list(range(1, retries + 1))
        restart |= {"intensity": retries, "backoff": [f"{delay}s" for delay in delays]}
        # Long enough that so many failed starts, each with its delay, all count.
        window = sum(delays) + (retries + 1) * (1 if seconds is None else seconds) + 10
        restart["period"] = f"{max(window, 30):g}s"
    if restart:
        draft.keys["restart"] = restart


def _logs(entries: Entries, draft: Draft) -> None:
    logs: dict[str, Any] = {}
    entries.drop("stdout_logfile", lambda path: path.strip().upper() == "AUTO")
    entries.drop("stderr_logfile", lambda path: path.strip().upper() == "AUTO")
    is_forwarded = False
    for key in ("stdout_logfile", "stderr_logfile"):
        is_forwarded |= entries.drop(key, _is_standard)
    if is_forwarded:
        logs["forward"] = True
    entries.drop("stdout_logfile_maxbytes", lambda text: number_of(text) == 0 and is_forwarded)
    entries.drop("stderr_logfile_maxbytes", lambda text: number_of(text) == 0 and is_forwarded)
    if size := _size(entries.take("stdout_logfile_maxbytes")):
        logs["max_size"] = size
    if (keep := number_of(entries.take("stdout_logfile_backups"))) is not None:
        logs["keep"] = keep
    events = [entries.drop(f"{stream}_events_enabled", is_true) for stream in ("stdout", "stderr")]
    if any(events):
        logs["events"] = True
    for stream in ("stdout", "stderr"):
        entries.drop(f"{stream}_events_enabled", lambda text: not is_true(text))
        entries.drop(f"{stream}_syslog", lambda text: not is_true(text))
    if logs:
        draft.keys["logs"] = logs


def _is_standard(path: str) -> bool:
    return path.strip() in ("/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2")


def _size(text: str | None) -> str | int | None:
    match = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]*)\s*", text or "")
    if match is None or not int(match[1]):
        return None
    unit = match[2].lower()
    return f"{match[1]}{SIZES[unit]}" if unit in SIZES else int(match[1])


def _expanded(text: str, names: dict[str, Any], holder: Draft | Imported | None) -> str:
    """Return a text for our format: its expressions replaced, environment variables as ours."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match["name"]
        if name.startswith("ENV_"):
            return f"${{{name[4:]}}}"
        if name in names:
            try:
                return literal(f"%{match['format']}" % names[name])
            except TypeError:
                pass
        if holder is not None:
            holder.note("expression", match[0], "not known here; it is left as it is")
        return match[0]

    return _PERCENT.sub(replaced, literal(text))


def _environment(text: str, names: dict[str, Any], holder: Draft | Imported) -> dict[str, str]:
    variables: dict[str, str] = {}
    end = 0
    for pair in _PAIR.finditer(text):
        if text[end : pair.start()].strip():
            break
        value = pair[2][1:-1] if pair[2][:1] in ("'", '"') else pair[2]
        variables[pair[1]] = _expanded(value, names, holder)
        end = pair.end()
    if rest := text[end:].strip():
        holder.note("environment", f"({len(rest)} characters)", "not NAME=value; they are left out")
    return variables
