"""From files to a tree: the TOML format and its includes, and the files of clients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from a2a_sup.app import clients, defaults
from a2a_sup.app.defaults import Family
from a2a_sup.app.documents import DocumentError, is_json, load
from a2a_sup.app.keys import (
    DEFAULTS,
    FAMILY_KEYS,
    INCLUDES,
    MCP_KEYS,
    PROCESS_KEYS,
    ROOT_KEYS,
    SERVE,
    SUPERVISOR_KEYS,
    SWITCHES,
    agent,
    words_of,
)
from a2a_sup.app.needs import check_needs
from a2a_sup.app.probe_keys import check_targets
from a2a_sup.app.problems import Problem, shown, suggestion
from a2a_sup.app.replicas import copies_of, replicated
from a2a_sup.app.settings import (
    ChildConfig,
    McpConfig,
    ProcessConfig,
    ServeConfig,
    Skipped,
    SupervisorConfig,
)
from a2a_sup.app.values import (
    Fields,
    Reader,
    Refused,
    Source,
    Value,
    read_keys,
    table,
    table_of,
    unknown_keys,
)
from a2a_sup.app.variables import Variables
from a2a_sup.model.spec import DEPTH_LIMIT, name_problem

if TYPE_CHECKING:
    from a2a_sup.serve.webhooks import Webhook

ROOT_NAME = "root"
EDITOR_FOLDERS = frozenset({".vscode", ".cursor"})
"""Directories of editors' settings: the workspace is the directory above."""

_CHILD_KEYS = {**PROCESS_KEYS, **MCP_KEYS, **SUPERVISOR_KEYS}


class TreeReader:
    """Reads one configuration, however many files it is made of.

    Attributes:
        problems: the mistakes found.
        skipped: the children that are not run.
        files: the files that were read, as real paths.
        serve: what is shown to the outside.
        webhooks: who is told of events.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the environment that variables are looked up in."""
        self.problems: list[Problem] = []
        self.skipped: list[Skipped] = []
        self.files: list[str] = []
        self.serve = ServeConfig()
        self.webhooks: tuple[Webhook, ...] = ()
        self._environ = environ

    def root(self, file: Path) -> SupervisorConfig:
        """Read the tree of ``file``. What is wrong is in ``problems``, and missing in the tree."""
        family = Family(files=(os.path.realpath(file),))
        try:
            document = self._document(file)
        except Refused:
            return defaults.supervisor({"name": ROOT_NAME}, ())
        fields = {"name": ROOT_NAME, **self._root_fields(document)}
        also = ("supervisor", "serve", "webhooks", "agents")
        family = family.ruled_by(fields)
        children = tuple(self._content(document, family, also))
        self._check_needs(family, children)
        root = defaults.supervisor(fields, children)
        if not is_json(file) and "serve" in document.raw:
            self._read_serve(document.entry("serve"), root)
        if not is_json(file) and "webhooks" in document.raw:
            self._read_webhooks(document.entry("webhooks"))
        if not is_json(file) and "agents" in document.raw:
            self._read_agents(document.entry("agents"))
        return root

    def _read_webhooks(self, entry: Value) -> None:
        from a2a_sup.app.webhook_keys import WEBHOOKS  # noqa: PLC0415 - for those who have some

        with suppress(Refused):
            self.webhooks = WEBHOOKS(entry)

    def _read_agents(self, holder: Value) -> None:
        agents = []
        for name, entry in table(holder).entries() if isinstance(holder.raw, dict) else ():
            try:
                agents.append(agent(name, entry))
            except Refused:
                continue
        if not isinstance(holder.raw, dict):
            holder.refused("a table")
        self.serve = attrs.evolve(self.serve, agents=tuple(agents))

    def _read_serve(self, holder: Value, root: SupervisorConfig) -> None:
        try:
            fields = SERVE(holder)
        except Refused:
            return
        self.serve = ServeConfig(**fields)
        if isinstance(self.serve.ready, tuple):
            known = [*_paths(root), *(skipped.path for skipped in self.skipped)]
            for place, path in zip(holder.entry("ready").items(), self.serve.ready, strict=True):
                if path not in known:
                    place.refused(f"paths of children, as pipeline/loader{suggestion(path, known)}")

    def _root_fields(self, document: Value) -> Fields:
        if is_json(Path(document.source.name)) or "supervisor" not in document.raw:
            return {}
        holder = document.entry("supervisor")
        try:
            fields = table_of(ROOT_KEYS)(holder)
        except Refused:
            return {}
        if "name" in fields and (problem := _name_problem(fields["name"])):
            holder.entry("name").note(f"found {shown(fields['name'])}; allowed: {problem}")
        defaults.check_stop_order(holder, fields)
        return fields

    # --- files -----------------------------------------------------------------------------------

    def _document(self, file: Path) -> Value:
        """Return the top level table of a file. Raises Refused if it cannot be read."""
        self.files.append(os.path.realpath(file))
        folder = file.absolute().parent
        if is_json(file) and folder.name in EDITOR_FOLDERS:
            folder = folder.parent
        variables = Variables(self._environ, str(folder), str(Path.cwd()))
        source = Source(str(file), variables, self.problems)
        try:
            return Value(load(file), source)
        except DocumentError as error:
            Value(None, source).note(str(error))
            raise Refused from None

    def _content(
        self, document: Value, family: Family, also: tuple[str, ...] = ()
    ) -> Iterator[ChildConfig]:
        """Read the children that a file describes; ``also`` are the keys it may have besides."""
        if not is_json(Path(document.source.name)):
            unknown_keys(document, (*also, *FAMILY_KEYS))
            yield from self._members(document, family)
            return
        try:
            entries = clients.servers(document)
        except Refused:
            return
        for name, entry in entries.entries():
            yield from self._member(name, entry, family)

    def _included(self, place: Value, path: str, family: Family) -> Iterator[ChildConfig]:
        """Read the file that the value ``place`` of an ``include`` names."""
        identity = os.path.realpath(path)
        if identity in family.files:
            chain = " -> ".join(Path(each).name for each in (*family.files, identity))
            place.note(f"a cycle of includes, {chain}; allowed: files that do not include this one")
            return
        if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for overlong names
            place.refused("the path of a file that exists")
            return
        if len(family.files) == DEPTH_LIMIT:
            place.refused(f"at most {DEPTH_LIMIT} files, each included by the one before")
            return
        try:
            document = self._document(_named_like(place.source.name, path))
        except Refused:
            return
        yield from self._content(document, attrs.evolve(family, files=(*family.files, identity)))

    # --- the children of one supervisor ----------------------------------------------------------

    def _members(self, holder: Value, family: Family) -> Iterator[ChildConfig]:
        """Read ``defaults``, ``include`` and ``children``; includes start before children."""
        read = read_keys(holder, {"defaults": DEFAULTS, "include": INCLUDES, "children": table})
        merged = defaults.merged(family.defaults, read.get("defaults", {}))
        family = attrs.evolve(family, defaults=merged)
        if "include" in read:
            places = holder.entry("include").items()
            for place, path in zip(places, read["include"], strict=True):
                yield from self._included(place, path, family)
        if "children" in read:
            for name, entry in read["children"].entries():
                yield from self._member(name, entry, family)

    def _member(self, name: str, entry: Value, family: Family) -> Iterator[ChildConfig]:
        """Yield the child of this name, unless it is wrong or not run."""
        _claim(name, entry, family)
        try:
            table(entry)
            reason = self._reason_to_skip(entry)
            if reason:
                self.skipped.append(Skipped(family.path_of(name), reason))
            elif is_json(Path(entry.source.name)):
                fields = clients.server_fields(entry)
                yield defaults.process(McpConfig, name, entry, fields, family)
            else:
                yield self._child(name, entry, family)
        except Refused:
            return

    def _check_needs(self, family: Family, children: tuple[ChildConfig, ...]) -> None:
        check_needs(family, children, {skipped.path for skipped in self.skipped})

    def _reason_to_skip(self, entry: Value) -> str | None:
        """Return why a child is not run: nothing else of it is read then."""
        if _is_disabled(entry):
            return "disabled"
        if is_json(Path(entry.source.name)) and clients.is_remote(entry):
            return clients.remote_reason(entry)
        return None

    # --- one child of a TOML file ----------------------------------------------------------------

    def _child(self, name: str, entry: Value, family: Family) -> ChildConfig:
        kind = _kind(entry)
        if "after" in entry.raw:
            family.needs[name] = entry.entry("after")
        if kind == "children":
            return self._nested(name, entry, family)
        fields = _process_fields(entry, kind)
        copies = fields.pop("replicas", None)
        if copies is not None:
            _check_copied(entry, family)
            own = family.below(name)  # the copies are the children of a supervisor
            template = _process(kind, name, entry, fields, own)
            check_targets(entry, copies_of(template, copies))
            return replicated(template, copies)
        process = _process(kind, name, entry, fields, family)
        check_targets(entry, [process])
        return process

    def _nested(self, name: str, entry: Value, family: Family) -> SupervisorConfig:
        if family.level == DEPTH_LIMIT:
            raise entry.refused(f"at most {DEPTH_LIMIT} supervisors inside each other")
        unknown_keys(entry, (*SUPERVISOR_KEYS, *SWITCHES, *FAMILY_KEYS))
        fields = read_keys(entry, SUPERVISOR_KEYS)
        defaults.check_stop_order(entry, fields)
        own = family.below(name).ruled_by(fields)
        children = tuple(self._members(entry, own))
        self._check_needs(own, children)
        return defaults.nested(name, entry, fields, family, children)


def _process(kind: str, name: str, entry: Value, fields: Fields, family: Family) -> ProcessConfig:
    config = McpConfig if kind == "mcp" else ProcessConfig
    return defaults.process(config, name, entry, fields, family)


def _check_copied(entry: Value, family: Family) -> None:
    """Note what a child with copies cannot be: they have a supervisor of their own."""
    if family.level == DEPTH_LIMIT:
        entry.entry("replicas").refused(f"at most {DEPTH_LIMIT} supervisors inside each other")
    if entry.raw.get("significant") is True:
        entry.entry("significant").refused("false, beside replicas")


def _paths(supervisor: SupervisorConfig, above: str = "") -> Iterator[str]:
    for child in supervisor.children:
        yield f"{above}{child.name}"
        if isinstance(child, SupervisorConfig):
            yield from _paths(child, f"{above}{child.name}/")


def _kind(entry: Value) -> str:
    """Return which of ``command``, ``mcp``, ``children`` makes a child what it is."""
    kinds = [key for key in ("command", "mcp") if key in entry.raw]
    if entry.raw.keys() & {"children", "include"} or ("strategy" in entry.raw and not kinds):
        kinds.append("children")
    if len(kinds) != 1:
        known = (*_CHILD_KEYS, *SWITCHES, *FAMILY_KEYS)
        found = " and ".join(kinds) or "none of them"
        # Not beside "did you mean 'command'?", which says it better.
        if not any(suggestion(key, known) for key in entry.raw if key not in known):
            entry.note(f"found {found}; allowed: one of command, mcp, children")
        unknown_keys(entry, known)
        read_keys(entry, _CHILD_KEYS)
        raise Refused
    return kinds[0]


def _process_fields(entry: Value, kind: str) -> Fields:
    keys: Mapping[str, Reader[Any]] = {"command": PROCESS_KEYS, "mcp": MCP_KEYS}[kind]
    unknown_keys(entry, (*keys, *SWITCHES))
    fields = read_keys(entry, keys)
    # A command that was refused is missing. The rest is read on, for its own mistakes.
    written = words_of(entry.raw[kind]) if kind in fields else ()
    return {"argv": fields.pop(kind, ()), "written": written, **fields}


def _is_disabled(entry: Value) -> bool:
    if SWITCHES.keys() <= entry.raw.keys():
        entry.note("found enabled and disabled; allowed: one of them")
    read = read_keys(entry, SWITCHES)
    return bool(read.get("disabled", not read.get("enabled", True)))


def _claim(name: str, entry: Value, family: Family) -> None:
    """Note where the name of a child is given, and what is wrong with it."""
    if problem := _name_problem(name):
        entry.note(f"found the name {shown(name)}; allowed: {problem}")
    if name in family.places:
        entry.note(
            f"two children have this name, the other is {family.places[name]}; "
            "allowed: names that differ"
        )
    family.places[name] = f"{entry.source.name}: {entry.key}"


def _name_problem(name: str) -> str | None:
    if name in (".", ".."):
        return "a name is not '.' or '..', which are places in a path"
    return name_problem(name)


def _named_like(including: str, path: str) -> Path:
    """Return ``path`` as messages should name it: relative if the file that includes it is."""
    return Path(path if Path(including).is_absolute() else os.path.relpath(path))
