"""What ``a2a-sup run`` was told beside the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from a2a_sup.app.logs import LogFormat
from a2a_sup.serve.listen import Address

Output = Literal["files", "stdout", "both"]


@attrs.frozen
class Options:
    """The words of the command line, and of the environment.

    Attributes:
        file: the configuration file, for messages.
        state_dir: where state and logs are kept.
        log_format: ``console`` or ``json``.
        log_level: one of ``a2a_sup.app.logs.LEVELS``.
        output: where the output of all children goes: ``files``, ``stdout`` or ``both``.
        environ: what variables in the files are looked up in when they are read again. It holds
            the supervisor's own secrets.
        addresses: where to listen, whatever the file says: see ``Config.served_at``.
        token: who sends it over TCP may change things; None: nobody may.
        watch: reload when one of the files changes.
        fresh: forget what an operator decided before.
        control: the path of the control socket; None: there is none.
        default_control: nobody asked for this path: if it cannot be had, there is none.
    """

    file: Path
    state_dir: Path
    log_format: LogFormat
    log_level: str
    output: Output = "files"
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    addresses: Mapping[str, Address | None] = attrs.field(factory=dict)
    token: str | None = attrs.field(default=None, repr=False)
    watch: bool = False
    fresh: bool = False
    control: Path | None = None
    default_control: bool = False
