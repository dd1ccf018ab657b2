"""Variables in the texts of a configuration file: ``${NAME}`` and its relatives.

The forms are those of the clients that read ``mcpServers`` and ``servers`` files, and they mean
the same in every file:

- ``${NAME}``, ``${env:NAME}``: an environment variable;
- ``${NAME:-default}``: the default if the variable is not set, or empty, as in a shell;
- ``${input:ID}``: the environment variable ``A2A_SUP_INPUT_ID``, in place of asking a person;
- ``${workspaceFolder}``, ``${userHome}``, ``${cwd}``, ``${/}``: directories, and the separator.

``$${`` writes ``${``. Every other dollar stands for itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import attrs

INPUT_PREFIX = "A2A_SUP_INPUT_"
"""What the environment variable of an ``${input:ID}`` begins with."""

_FORM = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<inside>[^{}]*)(?P<end>\}?)")
_NAME = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_INPUT = re.compile(r"input:(?P<id>.+)", re.DOTALL)
_FORMS = "${NAME}, ${NAME:-default}, ${env:NAME}, ${input:ID}; write $${ for a literal ${"


class VariableError(Exception):
    """A text uses variables that have no value, or no meaning.

    Attributes:
        reasons: one line for each of them.
    """

    def __init__(self, reasons: list[str]) -> None:
        """Take every reason."""
        self.reasons = tuple(reasons)
        super().__init__("; ".join(reasons))


@attrs.frozen
class Variables:
    """What the variables of one file stand for.

    Attributes:
        environ: the environment.
        folder: the directory of the file; of ``.vscode/mcp.json`` the one above.
        cwd: the directory that the supervisor runs in.
        inputs: the values of inputs that have a default, by ID.
    """

    environ: Mapping[str, str]
    folder: str
    cwd: str
    inputs: Mapping[str, str] = attrs.field(factory=dict)

    def expand(self, text: str) -> str:
        """Return ``text`` with its variables replaced.

        Raises:
            VariableError: some of them are not set, or not a form that exists.
        """
        reasons: list[str] = []

        def replaced(match: re.Match[str]) -> str:
            if match["literal"]:
                return "${"
            try:
                return self._value(match)
            except VariableError as error:
                reasons.extend(error.reasons)
                return ""

        expanded = _FORM.sub(replaced, text)
        if reasons:
            raise VariableError(reasons)
        return expanded

    def _value(self, match: re.Match[str]) -> str:
        inside = match["inside"]
        if not match["end"]:
            raise VariableError([f"'{match[0]}' has no closing brace; allowed: {_FORMS}"])
        if inside in self._places:
            return self._places[inside]
        if named := _NAME.fullmatch(inside):
            return self._environment(named["name"], named["default"])
        if asked := _INPUT.fullmatch(inside):
            return self._input(asked["id"])
        if inside.startswith("cmd:"):
            raise VariableError([f"'{match[0]}' would run a command, which is not offered"])
        raise VariableError([f"'{match[0]}' is not a variable; allowed: {_FORMS}"])

    @property
    def _places(self) -> Mapping[str, str]:
        return {
            "workspaceFolder": self.folder,
            "userHome": self.environ.get("HOME") or os.path.expanduser("~"),  # noqa: PTH111 - a text
            "cwd": self.cwd,
            "/": os.sep,
        }

    def _environment(self, name: str, default: str | None) -> str:
        if default is not None:
            return self.environ.get(name) or default
        if name not in self.environ:
            raise VariableError(
                [f"the variable {name} is not set; set it, or give a default: ${{{name}:-...}}"]
            )
        return self.environ[name]

    def _input(self, key: str) -> str:
        name = INPUT_PREFIX + re.sub("[^A-Za-z0-9]", "_", key).upper()
        if name in self.environ:
            return self.environ[name]
        if key in self.inputs:
            return self.inputs[key]
        raise VariableError([f"the input '{key}' has no value; set the variable {name}"])
