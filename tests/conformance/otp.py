"""Runs scenarios on Erlang/OTP: one VM with stock modules, fed through a pipe."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.conformance.scenario import Scenario
from tests.conformance.terms import decode, encode
from tests.conformance.traces import Happening, Report

SOURCE = Path(__file__).parent / "conformance.erl"


class ErlangMissing(Exception):
    """There is no Erlang to compare with."""


class Otp:
    """A running Erlang VM. Close it, or use it as a context manager."""

    def __init__(self) -> None:
        """Compile the Erlang side and start the VM.

        Raises:
            ErlangMissing: with the name of the package to install.
        """
        if not (shutil.which("erl") and shutil.which("erlc")):
            raise ErlangMissing(
                "the conformance suite compares with Erlang/OTP, which is not installed: "
                "on Debian, install erlang-base (tests/system-parts does)"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        subprocess.run(["erlc", "-Wall", "-Werror", "-o", self._folder.name, SOURCE], check=True)
        module = str(Path(self._folder.name, SOURCE.stem))
        # One scheduler: the order of events is then the order of causes. Embedded: a module
        # loaded on demand is loaded beside the scheduler, and the step would seem to be over.
        options = ["+S", "1", "+sbwt", "none", "-mode", "embedded", "-noshell", "-noinput"]
        self._vm = subprocess.Popen(
            ["erl", *options, "-eval", f'code:load_abs("{module}"), conformance:main().'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def send(self, scenarios: Iterable[Scenario]) -> None:
        """Have scenarios run; ``receive`` returns their reports."""
        message = encode([scenario.term() for scenario in scenarios])
        assert self._vm.stdin is not None
        self._vm.stdin.write(struct.pack(">I", len(message)) + message)
        self._vm.stdin.flush()

    def receive(self) -> list[list[Report]]:
        """Wait for the reports of the scenarios that were sent first."""
        (size,) = struct.unpack(">I", self._read(4))
        reports: Any = decode(self._read(size))
        return [[_report(*report[1:]) for report in scenario] for scenario in reports]

    def run(self, scenario: Scenario) -> list[Report]:
        """Run one scenario."""
        self.send([scenario])
        return self.receive()[0]

    def close(self) -> None:
        """End the VM."""
        self._vm.communicate()
        self._folder.cleanup()

    def _read(self, size: int) -> bytes:
        assert self._vm.stdout is not None
        data = self._vm.stdout.read(size)
        if len(data) < size:
            raise EOFError(f"the Erlang VM ended with status {self._vm.wait()}")
        return data

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the VM."""
        self.close()


def _report(results: list[Any], happenings: list[Any], alive: list[str]) -> Report:
    return Report(
        results=tuple(results),
        happenings=tuple(Happening(*happening) for happening in happenings),
        alive=tuple(alive),
    )
