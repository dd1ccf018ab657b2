"""The pages and examples that show configuration files show correct ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from a2a_sup.app import keys
from a2a_sup.app.config import build, read_config
from a2a_sup.app.environment import with_own_scripts

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/configuration.md").read_text()
BLOCKS = re.findall(r"^```(toml|json)\n(.*?)^```", REFERENCE, re.DOTALL | re.MULTILINE)
ENVIRON = with_own_scripts({"PATH": "/usr/bin:/bin", "HOME": "/home/of", "API_KEY": "k"})


@pytest.mark.parametrize(("suffix", "text"), BLOCKS)
def test_blocks_of_the_reference(suffix: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text('[children.theirs]\ncommand = ["x"]')
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {}}')
    file = tmp_path / f"tree.{suffix}"
    file.write_text(text)
    config = read_config(file, ENVIRON)
    assert build(config, logs_dir=None).name == config.root.name


def test_the_reference_has_every_key() -> None:
    tables: list[dict[str, Any]] = [
        keys.ROOT_KEYS,
        keys.SUPERVISOR_KEYS,
        keys.PROCESS_KEYS,
        keys.MCP_KEYS,
        keys.SWITCHES,
        dict.fromkeys(keys.FAMILY_KEYS),
    ]
    missing = {key for table in tables for key in table if f"| `{key}` |" not in REFERENCE}
    assert not missing


EXAMPLES = sorted(
    path for path in (ROOT / "examples").iterdir() if path.suffix in (".toml", ".json")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples(path: Path) -> None:
    config = read_config(path, ENVIRON)
    assert config.root.children
    build(config, logs_dir=None)
