"""What configuration files say, as data: read, checked, with every default in its place.

All of it is compared with ``==``: what differs between an old and a new configuration is what a
reload has to touch. Durations are seconds, sizes are bytes, paths are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from a2a_sup.children.command import Inherited
from a2a_sup.children.log_files import OutputFormat
from a2a_sup.children.mcp import ENVIRONMENT
from a2a_sup.children.mcp_child import Handshake
from a2a_sup.model.agents import Agent
from a2a_sup.model.health import Purpose
from a2a_sup.model.needs import Need
from a2a_sup.model.restarts import Restart
from a2a_sup.model.spec import StopOrder
from a2a_sup.model.strategy import AutoShutdown, Strategy
from a2a_sup.serve.listen import Address

if TYPE_CHECKING:
    from a2a_sup.serve.health import ReadyPolicy
    from a2a_sup.serve.webhooks import Webhook


@attrs.frozen
class LogSettings:
    """Where a process's output goes.

    Attributes:
        max_size: bytes of a file at which it is put aside and a new one begun.
        keep: files put aside, beside the current one.
        max_age: seconds of output that a file holds at most; None: no limit.
        gzip: files put aside are packed.
        format: ``text``, as printed, or ``json``, an object a line.
        forward: it is written to the supervisor's standard output too.
        events: its lines are events of the tree too.
    """

    max_size: int = 10 * 2**20
    keep: int = 5
    max_age: float | None = None
    gzip: bool = False
    format: OutputFormat = "text"
    forward: bool = False
    events: bool = False


ProbeKind: TypeAlias = Literal["http", "tcp", "command", "heartbeat", "mcp", "a2a"]


@attrs.frozen(kw_only=True)
class ProbeConfig:
    """What is asked of a child while it runs.

    Attributes:
        kind: how it is asked.
        target: what is asked: of ``http`` and ``a2a`` the URL, of ``tcp`` ``host:port``, of
            ``command`` the words, of ``heartbeat`` seconds. Variables replaced.
        name: shown with the results; variables are as the file has them.
        purpose: what the answers decide.
        options: the keys that only this kind has, as the functions of ``a2a_sup.checks`` take them.
        timing: interval, timeout, initial_delay, thresholds and jitter, as far as they were given.
    """

    kind: ProbeKind
    target: Any = attrs.field(repr=False)
    name: str
    purpose: Purpose = Purpose.LIVENESS
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    timing: Mapping[str, Any] = attrs.field(factory=dict)


MCP_PROBES = (ProbeConfig(kind="mcp", target=True, name="mcp ping"),)
"""What an MCP server is asked unless its ``probes`` say otherwise."""


@attrs.frozen(kw_only=True)
class ProcessConfig:
    """A child that is an operating system process.

    Attributes:
        name: the child's name.
        argv: the command, variables replaced: what is run. It may hold secrets.
        written: the command as the file has it: what is shown. Not compared: what is run counts.
        cwd: the directory it runs in.
        env: variables added to what it inherits; they win over those of ``env_file``.
        inherit_env: ``"all"``, or the names of the supervisor's variables that it inherits.
        env_file: a file of ``NAME=value`` lines, read at each start.
        restart: the policy.
        significant: its end may end its supervisor.
        essential: its end for good ends the whole program, with its exit status.
        wait_ready: the next sibling starts when it is ready, not when it was started.
        notify: it gets a ``NOTIFY_SOCKET`` and says by itself when it is ready.
        heartbeat: the seconds of its heartbeat probe, of which it is told when it is started.
        probes: what it is asked while it runs.
        start_timeout: seconds; None: no limit.
        after: siblings, and what is needed of each before it is started.
        memory_limit: bytes that its processes together may use; None: no limit.
        watch: patterns of files, relative to ``cwd``, whose change restarts it.
        every: seconds from one run to the next; None: it is no child that runs at times.
        cron: the times of its runs; None: likewise.
        timezone: whose clock ``cron`` means; None: the machine's.
        tags: words to find it by.
        stop_signal: the name of the polite signal, ``SIGTERM``.
        stop_timeout: seconds between the polite signal and the kill.
        success_exit_codes: the exit codes that are a normal end, in rising order.
        user: whom it runs as; a name or a number; None: as the supervisor.
        group: likewise.
        umask: None: the supervisor's.
        nice: None: the supervisor's.
        limits: resource limits by name (``nofile``, ``core``, ``as``, ``cpu``); None: unlimited.
        logs: what is kept of its output.
    """

    name: str
    argv: tuple[str, ...] = attrs.field(repr=False)
    cwd: str
    restart: Restart
    written: tuple[str, ...] = attrs.field(default=(), eq=False)
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    inherit_env: Inherited = "all"
    env_file: str | None = None
    significant: bool = False
    essential: bool = False
    wait_ready: bool = False
    notify: bool = False
    heartbeat: float | None = None
    probes: tuple[ProbeConfig, ...] = ()
    start_timeout: float | None = None
    after: Mapping[str, Need] = attrs.field(factory=dict)
    memory_limit: int | None = None
    watch: tuple[str, ...] = ()
    every: float | None = None
    cron: str | None = None
    timezone: str | None = None
    tags: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 5.0
    success_exit_codes: tuple[int, ...] = (0,)
    user: str | int | None = None
    group: str | int | None = None
    umask: int | None = None
    nice: int | None = None
    limits: Mapping[str, int | None] = attrs.field(factory=dict)
    logs: LogSettings = LogSettings()

    @property
    def is_scheduled(self) -> bool:
        """Whether it runs at times."""
        return self.every is not None or self.cron is not None


@attrs.frozen(kw_only=True)
class McpConfig(ProcessConfig):
    """A child that is an MCP server: a process whose input and output carry the protocol.

    It inherits what MCP clients pass on, and its ``stop_timeout`` is the SDK's: first its input is
    closed, after that time it gets the polite signal, after as long again it is killed.

    Attributes:
        handshake: ``auto`` or ``legacy``.
        handshake_timeout: seconds; a server that is later is stopped, and that is a crash.
        extra: the keys of an ``mcpServers`` entry that mean nothing here. They are the client's:
            a change of them alone is no change.
    """

    inherit_env: Inherited = ENVIRONMENT
    stop_timeout: float = 2.0
    probes: tuple[ProbeConfig, ...] = MCP_PROBES
    handshake: Handshake = "auto"
    handshake_timeout: float = 30.0
    extra: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class SupervisorConfig:
    """A supervisor and its children, in start order.

    Attributes:
        name: the child's name, or the root's.
        strategy: who is restarted when a child ended.
        intensity: restarts of all children together within ``period``; None: no limit.
        period: seconds.
        auto_shutdown: when the end of significant children ends it.
        stop_order: ``reverse`` or ``parallel``.
        children: in start order.
        restart: the policy of the supervisor itself, as a child; the root has no use for it.
        significant: as of a process.
        start_timeout: as of a process.
        after: as of a process.
        tags: as of a process.
        template: what its children are copies of, if they are.
    """

    name: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int | None = None
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    stop_order: StopOrder
    children: tuple[ChildConfig, ...] = ()
    restart: Restart = attrs.field(factory=Restart)
    significant: bool = False
    start_timeout: float | None = None
    after: Mapping[str, Need] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()
    template: ProcessConfig | None = attrs.field(default=None, eq=False)


ChildConfig: TypeAlias = ProcessConfig | SupervisorConfig


@attrs.frozen
class Skipped:
    """A child that the files name and that is not run.

    Attributes:
        path: where it would be in the tree.
        reason: ``disabled``, or why it cannot be supervised.
    """

    path: str
    reason: str


HTTP_ADDRESS = Address("127.0.0.1", 3000)
DASHBOARD_ADDRESS = Address("127.0.0.1", 9000)


@attrs.frozen(kw_only=True)
class ServeConfig:
    """What the program shows to the outside, and where.

    Attributes:
        http: where health, metrics and the API are served; None: nowhere.
        dashboard: where the tree is watched by WebSocket; None: nowhere.
        dashboard_url: where browsers find it, when it is behind a proxy; None: at its port.
        dashboard_token: whether the token is needed to watch, too.
        max_clients: how many may watch at a time.
        agents: those that the file describes, beside the servers.
        ready: which children have to be ready: ``all``, ``any``, or their paths.
        origins: names, beside addresses and localhost, by which the server may be called, and
            hosts and origins whose pages may ask: see ``a2a_sup.serve.origins``.
        token_file: where the token is read that allows changes over TCP.
    """

    http: Address | None = HTTP_ADDRESS
    dashboard: Address | None = DASHBOARD_ADDRESS
    dashboard_url: str | None = None
    dashboard_token: bool = False
    max_clients: int = 2_000
    agents: tuple[Agent, ...] = ()
    ready: ReadyPolicy = "all"
    origins: tuple[str, ...] = ()
    token_file: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts of its addresses, by which it may be called."""
        return tuple(at.host for at in (self.http, self.dashboard) if at is not None)


@attrs.frozen
class Config:
    """Everything that one configuration file says, its includes included.

    Attributes:
        root: the tree.
        skipped: the children that are not run.
        files: the files that it was read from, without symbolic links.
        serve: what is shown to the outside.
        webhooks: who is told of events.
    """

    root: SupervisorConfig
    skipped: tuple[Skipped, ...] = ()
    files: tuple[str, ...] = attrs.field(default=(), eq=False)
    serve: ServeConfig = ServeConfig()
    webhooks: tuple[Webhook, ...] = ()

    def served_at(self, addresses: Mapping[str, Address | None]) -> Config:
        """Return it with some addresses of ``serve``, by their keys, that are not the file's."""
        given: dict[str, Any] = dict(addresses)
        return attrs.evolve(self, serve=attrs.evolve(self.serve, **given))
