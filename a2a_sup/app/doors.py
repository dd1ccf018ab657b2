"""Where a program listens: its doors, which are opened before its first child is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from a2a_sup.app.control_path import NotOurs, prepare_directory
from a2a_sup.app.logs import logger
from a2a_sup.app.options import Options
from a2a_sup.app.settings import ServeConfig
from a2a_sup.serve.listen import Address, Door


@attrs.frozen
class Doors:
    """One door for each service that listens; None: that service is not wanted."""

    control: Door | None = None
    dashboard: Door | None = None
    http: Door | None = None

    def there(self) -> Iterator[tuple[str, Door]]:
        """Yield those that are wanted, by name."""
        for name, door in attrs.asdict(self, recurse=False).items():
            if door is not None:
                yield name, door

    async def reserve(self) -> None:
        """Listen at all of them. Whoever connects waits until there is a service.

        Raises:
            CannotListen: at one of them.
        """
        for _, door in self.there():
            await door.reserve()

    def release(self) -> None:
        """Close those that no service has opened."""
        for _, door in self.there():
            door.release()

    def addresses(self) -> dict[str, str]:
        """Return where they are, by name."""
        return {name: door.bound for name, door in self.there()}

    def port(self, name: str) -> int | None:
        """Return the port of one of them; None: it is not wanted."""
        bound = self.addresses().get(name)
        return int(bound.rpartition(":")[2]) if bound else None


def doors_of(serve: ServeConfig, control: Path | None) -> Doors:
    """Return the doors that the configuration and the path of the control socket ask for."""
    return Doors(
        _door(control, "control", "PATH", "path"),
        _door(serve.dashboard, "dashboard", "HOST:PORT", "address"),
        _door(serve.http, "http", "HOST:PORT", "address"),
    )


def _door(place: Address | Path | None, option: str, value: str, what: str) -> Door | None:
    if place is None:
        return None
    return Door(place, f"give another {what} with --{option} {value}, or --{option} off")


def control_path(options: Options) -> Path | None:
    """Return where the control socket is to be; its directory is there."""
    if options.control is None or not options.default_control:
        return options.control
    try:
        prepare_directory(options.control.parent)
    except (NotOurs, OSError) as exc:
        # As in a container whose file system is read-only: the servers are what counts.
        logger().warning("control.off", because=str(exc))
        return None
    return options.control
