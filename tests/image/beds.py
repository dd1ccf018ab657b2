"""Two ways to run the image: podman, and the same files in bare namespaces where no engine runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "image"
IMAGE = "localhost/a2a-sup-test"
os.environ["CONTAINERS_CONF"] = str(WORK / "containers.conf")
UID = 10001
SECONDS = 30

Json = dict[str, Any]


def beds() -> list[str]:
    """Return which beds `tests/image/prepare` found to work here."""
    return (WORK / "beds").read_text(encoding="ascii").split()


def output_of(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def inspected(template: str) -> Any:
    return json.loads(output_of("podman", "image", "inspect", "--format", template, IMAGE))


def until(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return the first true answer; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return answer


class Box:
    """One run of the image, as PID 1 of its own."""

    def __init__(self, command: list[str], place: Path) -> None:
        self._errors = place / "errors"
        self._output = place / "output"
        self._began = time.monotonic()
        with self._errors.open("wb") as errors, self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )

    @property
    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    @property
    def log(self) -> list[Json]:
        lines = [line for line in self.errors.splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def told(self, event: str, **fields: object) -> list[Json]:
        return [
            line for line in self.log if line["event"] == event and fields.items() <= line.items()
        ]

    def until(self, event: str, *, times: int = 1, **fields: object) -> Json:
        """Wait until the log has said this so often; return the last of them."""

        def found() -> list[Json]:
            lines = self.told(event, **fields)
            assert len(lines) >= times or self.process.poll() is None, self.errors
            return lines if len(lines) >= times else []

        lines: list[Json] = until(found)
        return lines[-1]

    def ended(self) -> tuple[int, float]:
        """Wait for the end; return the exit status, and the seconds from the start to now."""
        status = self.process.wait(SECONDS)
        return status, time.monotonic() - self._began

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program inside, as the same user."""
        return subprocess.run(
            [*self._inside(), *words], capture_output=True, text=True, check=False
        )

    def python(self, program: str) -> str:
        done = self.run("python3", "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _inside(self) -> list[str]:
        raise NotImplementedError

    def stop(self) -> None:
        """Send SIGTERM to PID 1."""
        raise NotImplementedError

    def remove(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Podman(Box):
    """A container: no network, read-only, no capabilities, a seccomp filter."""

    def __init__(
        self,
        etc: Path,
        *words: str,
        env: Mapping[str, str],
        memory: int | None,
        state_mode: int,
        place: Path,
    ) -> None:
        self._name = f"a2a-sup-test-{uuid.uuid4().hex[:12]}"
        limits = [] if memory is None else [f"--memory={memory}", f"--memory-swap={memory}"]
        variables = [f"--env={name}={value}" for name, value in env.items()]
        state = _state(place, state_mode)
        super().__init__(
            [
                *("podman", "run", "--rm", f"--name={self._name}", "--network=none", "--read-only"),
                *("--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=128"),
                *("--no-healthcheck", f"--volume={etc}:/etc/a2a-sup:ro"),
                *(f"--volume={state}:/var/lib/a2a-sup", *limits, *variables, IMAGE, *words),
            ],
            place,
        )

    def _inside(self) -> list[str]:
        return ["podman", "exec", self._name]

    def stop(self) -> None:
        output_of("podman", "kill", "--signal=TERM", self._name)

    def remove(self) -> None:
        subprocess.run(
            ["podman", "rm", "--force", "--ignore", "--time=0", self._name],
            capture_output=True,
            check=False,
        )
        super().remove()


PREPARE = """
set -e
[ -z "$GROUP" ] || echo $$ >"$GROUP/cgroup.procs"
ip link set lo up
mount --bind "$FILES" "$TOP"
mount -o remount,bind,ro "$TOP"
mount -t proc proc "$TOP/proc"
mount --rbind /dev "$TOP/dev"
mount -t tmpfs tmpfs "$TOP/tmp"
mount --bind "$ETC" "$TOP/etc/a2a-sup"
mount --bind "$STATE" "$TOP/var/lib/a2a-sup"
if [ -n "$GROUP" ]; then
    mount -t tmpfs tmpfs "$TOP/sys"
    mkdir -p "$TOP/sys/fs/cgroup/memory"
    mount --bind "$GROUP" "$TOP/sys/fs/cgroup/memory"
fi
exec setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$TOP" /usr/bin/env -i "$@"
"""


class Namespaces(Box):
    """The image's files under `unshare`, prepared by hand as an engine does it."""

    def __init__(
        self,
        etc: Path,
        *words: str,
        env: Mapping[str, str],
        memory: int | None,
        state_mode: int,
        place: Path,
    ) -> None:
        self._top = place / "top"
        self._top.mkdir()
        self._group = None if memory is None else _memory_group(memory)
        image = dict(each.split("=", 1) for each in inspected("{{json .Config.Env}}"))
        self._env = [f"{name}={value}" for name, value in {**image, **env}.items()]
        self._env.append("HOME=/var/lib/a2a-sup")
        variables = {
            "GROUP": str(self._group or ""),
            "FILES": output_of("podman", "image", "mount", IMAGE),
            "TOP": str(self._top),
            "ETC": str(etc),
            "STATE": str(_state(place, state_mode)),
        }
        super().__init__(
            [
                *("env", *(f"{name}={value}" for name, value in variables.items())),
                *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts"),
                *("--net", "--propagation", "private", "--", "sh", "-c", PREPARE, "sh"),
                *(*self._env, *inspected("{{json .Config.Entrypoint}}")),
                *(words or inspected("{{json .Config.Cmd}}")),
            ],
            place,
        )

    def _first(self) -> int:
        """Return PID 1's number out here."""
        file = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(file.read_text(encoding="ascii").split()[0])

    def _inside(self) -> list[str]:
        return [
            *("nsenter", f"--target={self._first()}", "--pid", "--mount", "--net", "--"),
            *("chroot", f"--userspec={UID}:{UID}", str(self._top), "/usr/bin/env", "-i"),
            *self._env,
        ]

    def stop(self) -> None:
        os.kill(self._first(), signal.SIGTERM)

    def remove(self) -> None:
        # `--kill-child` does not outlive a change of user.
        if self.process.poll() is None:
            os.kill(self._first(), signal.SIGKILL)
        super().remove()
        if self._group is not None:
            until(lambda: _is_removed(self._group))


def _state(place: Path, mode: int) -> Path:
    state = place / "state"
    state.mkdir()
    os.chown(state, UID, UID)
    state.chmod(mode)
    return state


def _memory_group(limit: int) -> Path:
    group = Path("/sys/fs/cgroup/memory") / f"a2a-sup-test-{uuid.uuid4().hex[:12]}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(limit), encoding="ascii")
    return group


def _is_removed(group: Path | None) -> bool:
    try:
        if group is not None:
            group.rmdir()
    except OSError:
        return False
    return True


BEDS: dict[str, type[Podman] | type[Namespaces]] = {"podman": Podman, "namespaces": Namespaces}
