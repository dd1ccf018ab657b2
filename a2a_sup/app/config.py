"""Configuration: what files say, as data, and the tree that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from a2a_sup.app.assembly import build, build_child
from a2a_sup.app.problems import ConfigError
from a2a_sup.app.settings import Config
from a2a_sup.app.tree_file import TreeReader

__all__ = ["Config", "ConfigError", "build", "build_child", "read_config"]


def read_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file and the files it includes.

    Args:
        path: TOML in this project's format, or JSON with ``mcpServers`` or ``servers``.
        environ: what variables in the files are looked up in.

    Raises:
        ConfigError: there are mistakes; it has all of them.
    """
    reader = TreeReader(environ)
    root = reader.root(path)
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(root, tuple(reader.skipped), tuple(reader.files), reader.serve, reader.webhooks)
