"""From settings to the specification of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast

import attrs

from a2a_sup.app.essential import INFO
from a2a_sup.app.settings import (
    ChildConfig,
    Config,
    LogSettings,
    McpConfig,
    ProcessConfig,
    SupervisorConfig,
)
from a2a_sup.children.command import Command
from a2a_sup.children.logs import LogFiles
from a2a_sup.children.mcp import mcp_server
from a2a_sup.children.process import process
from a2a_sup.children.schedule import scheduled
from a2a_sup.children.spawning import CannotRun, check
from a2a_sup.children.supervisor import supervisor
from a2a_sup.errors import SpecError
from a2a_sup.model.health import Probe
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.model.strategy import AutoShutdownWord, StrategyWord

Held: TypeAlias = Callable[[str], bool]
"""Says whether the child at a path is to be left down, see ``ChildSpec.held``."""


def build(config: Config, *, logs_dir: Path | None, held: Held | None = None) -> ChildSpec:
    """Return the specification of the tree that ``config`` describes: of its root.

    Args:
        config: what the files say.
        logs_dir: where the children's output is kept; None: only its last lines, in memory.
        held: says which children are not to be started; None: all are.

    Raises:
        SpecError: this installation cannot run some of the children: the ``mcp`` extra is
            missing. All of them are named.
    """
    problems: list[str] = []
    root = _supervisor(config.root, logs_dir, problems)
    if problems:
        raise SpecError(problems)
    return root if held is None else _held_by(held, root)


def _held_by(held: Held, spec: ChildSpec) -> ChildSpec:
    """Return ``spec`` with all that is below it asking ``held`` before it is started."""
    run = spec.run
    if isinstance(run, SupervisorSpec):
        run = attrs.evolve(run, children=[_held_by(held, child) for child in run.children])
    return attrs.evolve(spec, run=run, held=held)


def check_child(config: ChildConfig) -> str | None:
    """Return why a child could not be started now, such as for want of its program, or None."""
    if isinstance(config, SupervisorConfig):
        return None
    if config.probes and (problem := _unaskable(config)):
        return problem
    command = Command(
        config.argv,
        cwd=config.cwd,
        env=config.env,
        inherit_env=config.inherit_env,
        env_file=config.env_file,
        user=config.user,
        group=config.group,
        limits=config.limits,
    )
    try:
        check(command)
    except CannotRun as exc:
        return str(exc)
    return None


def build_child(config: ChildConfig, *, logs_dir: Path | None) -> ChildSpec:
    """Return the specification of one child, to start it in a running tree.

    Raises:
        SpecError: as of :func:`build`.
    """
    if isinstance(config, SupervisorConfig):
        return build(Config(config), logs_dir=logs_dir)
    return _process(config, logs_dir)


def _supervisor(config: SupervisorConfig, logs_dir: Path | None, problems: list[str]) -> ChildSpec:
    spec = supervisor(
        config.name,
        _children(config, logs_dir, problems),
        strategy=cast(StrategyWord, config.strategy),
        intensity=config.intensity,
        period=config.period,
        auto_shutdown=cast(AutoShutdownWord, config.auto_shutdown),
        stop_order=config.stop_order,
        restart=config.restart,
        significant=config.significant,
        start_timeout=config.start_timeout,
        tags=config.tags,
    )
    return attrs.evolve(spec, after=config.after)


def _children(
    config: SupervisorConfig, logs_dir: Path | None, problems: list[str]
) -> Iterator[ChildSpec]:
    for child in config.children:
        if isinstance(child, SupervisorConfig):
            yield _supervisor(child, logs_dir, problems)
        else:
            try:
                yield _process(child, logs_dir)
            except SpecError as error:
                problems.extend(error.problems)


def _process(config: ProcessConfig, logs_dir: Path | None) -> ChildSpec:
    make: Callable[..., ChildSpec] = process
    options: dict[str, Any] = {"notify": config.notify}
    if isinstance(config, McpConfig):
        make = mcp_server
        options = {
            "handshake": config.handshake,
            "handshake_timeout": config.handshake_timeout,
        }
    spec = make(
        config.name,
        config.argv,
        cwd=config.cwd,
        env=config.env,
        inherit_env=config.inherit_env,
        env_file=config.env_file,
        user=config.user,
        group=config.group,
        umask=config.umask,
        limits=config.limits,
        nice=config.nice,
        stop_signal=config.stop_signal,
        stop_timeout=config.stop_timeout,
        success=config.success_exit_codes,
        logs=_logs(config.logs, logs_dir),
        restart=config.restart,
        significant=config.significant,
        wait_ready=config.wait_ready,
        start_timeout=config.start_timeout,
        tags=config.tags,
        probes=_probes(config),
        **options,
    )
    if config.is_scheduled:
        spec = scheduled(
            spec, every=config.every, cron=config.cron, timezone=config.cron and config.timezone
        )
    # Variables are where secrets come from: snapshots show the command as the file has it.
    info = {**spec.info, "command": list(config.written)}
    if config.essential:
        info[INFO] = True
    return attrs.evolve(spec, info=info, after=config.after)


def _probes(config: ProcessConfig) -> list[Probe]:
    if not config.probes and config.memory_limit is None:
        return []
    # What can be asked of a child takes a while to import.
    from a2a_sup.app.probes import probes_of  # noqa: PLC0415

    return probes_of(config)


def _unaskable(config: ProcessConfig) -> str | None:
    from a2a_sup.app.probe_keys import unaskable  # noqa: PLC0415 - as above

    return unaskable(config.probes)


def _logs(settings: LogSettings, directory: Path | None) -> LogFiles | None:
    if directory is None:
        return None
    return LogFiles(
        directory,
        settings.max_size,
        settings.keep,
        max_age=settings.max_age,
        gzip=settings.gzip,
        format=settings.format,
        forward=settings.forward,
        events=settings.events,
    )
