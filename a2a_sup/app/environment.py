"""The environments of the supervisor and of what it runs."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Mapping

from a2a_sup.app.variables import INPUT_PREFIX

_SECRETS = re.compile(f"A2A_SUP_TOKEN|{INPUT_PREFIX}.*", re.DOTALL)


def with_own_scripts(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the commands installed beside a2a-sup at the end of PATH.

    So ``.venv/bin/a2a-sup run`` finds ``.venv/bin/mcp-server-time`` though the virtual
    environment is not activated. At the end: they stand in for nothing that is found already.
    """
    scripts = sysconfig.get_path("scripts")
    places = environ.get("PATH", os.defpath).split(os.pathsep)
    if scripts not in places:
        places.append(scripts)
    return {**environ, "PATH": os.pathsep.join(places)}


def without_own_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without what is meant for the supervisor alone: its token, its inputs.

    Files can still hand one of them to a child that needs it: ``env = { KEY = "${input:key}" }``.
    """
    return {name: value for name, value in environ.items() if not _SECRETS.fullmatch(name)}
