"""What the kinds of machines have in common: sockets, rungs and actions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from virtsupd.config.kinds import KindContext, UnitKeys
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import Rung
from virtsupd.machine.reached import rung_file

_MONITOR_SECONDS = 30.0
_AGENT_CHANNEL: Final = "org.qemu.guest_agent.0"
_QMP, _MONITOR, _AGENT, _SERIAL = "qmp", "monitor", "agent", "serial"


@frozen
class Places:
    """Where the sockets of a machine are."""

    directory: str

    @classmethod
    def of(cls, name: str, context: KindContext) -> "Places":
        """Return those of a machine by its name."""
        return cls(f"{context.host.run_dir}/machines/{name}")

    @property
    def qmp(self) -> str:
        """Return the monitor's socket that is virtsupd's own."""
        return f"{self.directory}/{_QMP}"

    @property
    def monitor(self) -> str:
        """Return that of a second monitor, for actions."""
        return f"{self.directory}/{_MONITOR}"

    @property
    def agent(self) -> str:
        """Return that of the guest agent's channel."""
        return f"{self.directory}/{_AGENT}"

    @property
    def serial(self) -> str:
        """Return that of the serial console."""
        return f"{self.directory}/{_SERIAL}"


def socket_arguments(places: Places, vnc_display: int | None, *, has_agent: bool) -> list[str]:
    """Return the arguments that give QEMU its sockets; a display only on 127.0.0.1.

    What the serial port says goes to QEMU's standard output too, the service's log: whoever is
    connected, or nobody, it is kept.
    """
    monitors = [
        argument
        for name, path in ((_QMP, places.qmp), (_MONITOR, places.monitor))
        for argument in ("-chardev", _socket(name, path), "-mon", f"chardev={name},mode=control")
    ]
    log = ",logfile=/dev/stdout,logappend=on"
    serial = ["-chardev", _socket(_SERIAL, places.serial) + log, "-serial", f"chardev:{_SERIAL}"]
    display = ["-display", "none"]
    if vnc_display is not None:
        display = ["-vnc", f"127.0.0.1:{vnc_display}"]
    return [*monitors, *serial, *(_agent(places) if has_agent else []), *display]


def _agent(places: Places) -> list[str]:
    port = f"virtserialport,chardev={_AGENT},name={_AGENT_CHANNEL},id={_AGENT}"
    return ["-chardev", _socket(_AGENT, places.agent), "-device", "virtio-serial", "-device", port]


def _socket(name: str, path: str) -> str:
    return f"socket,id={name},path={escaped(path)},server=on,wait=off"


def escaped(text: str) -> str:
    """Return a text as a value of one of QEMU's options, whose commas are doubled."""
    return text.replace(",", ",,")


@frozen
class Parts:
    """What virtsupd does with a machine, as its table says."""

    places: Places
    secrets_port: int | None
    """Forwarded to the guest's secret service; None: it has none."""
    secret_root: str | None
    ssh_port: int | None
    has_agent: bool
    kvm: bool | Literal["auto"]
    access_group: str | None
    ready_at: Rung
    """The rung at which it counts as running; the highest that it has, if it has not that one."""
    boot_seconds: float
    """How long each rung may take, but for the monitor's."""
    ports: tuple[int, ...]
    """The TCP ports of this host that it takes."""

    @property
    def rungs(self) -> list[Rung]:
        """Return those that it can climb."""
        can_be = {
            Rung.MONITOR: True,
            Rung.SECRETS: self.secrets_port is not None,
            Rung.AGENT: self.has_agent,
            Rung.SSH: self.ssh_port is not None,
        }
        return [rung for rung, is_there in can_be.items() if is_there]

    def keys(self, unit: UnitKeys) -> dict[str, object]:
        """Return the keys machine, ready and stop, the last as the unit has it."""
        return {
            "machine": self._machine(),
            "ready": {"kind": "machine", "rungs": self._ladder()},
            "stop": self._stop(unit.get("stop")),
        }

    def _machine(self) -> dict[str, object]:
        places = self.places
        found: dict[str, object] = {
            "directory": places.directory,
            "qmp": places.qmp,
            "kvm": self.kvm,
            "ports": list(self.ports),
        }
        if self.access_group is not None:
            found["access_group"] = self.access_group
        if self.has_agent:
            found["agent"] = places.agent
        if self.secrets_port is not None:
            root = {"root": self.secret_root} if self.secret_root is not None else {}
            found["secrets"] = {"port": self.secrets_port, **root}
        if self.ssh_port is not None:
            found["ssh_port"] = self.ssh_port
        return found

    def _ladder(self) -> list[dict[str, object]]:
        """Return the rungs; those up to the one to be ready at count, but for an agent that nobody waits for."""
        there = self.rungs
        at = self.ready_at
        if at not in there:
            at = [rung for rung in there if rung is not Rung.AGENT][-1]
        counting = there[: there.index(at) + 1]
        return [
            {
                "rung": str(rung),
                "timeout": _MONITOR_SECONDS if rung is Rung.MONITOR else self.boot_seconds,
                "counts": rung in counting and (rung is not Rung.AGENT or rung is at),
            }
            for rung in there
        ]

    def _stop(self, stop: object) -> dict[str, object]:
        """Return how it is ended; without an agent's channel nobody is asked there."""
        table: dict[str, Any] = dict(stop) if isinstance(stop, dict) else {}
        steps = table.get("steps", ())
        return table | {"steps": [s for s in steps if self.has_agent or s["how"] != "agent"]}


def rung_conditions(
    names: Sequence[str], parts: Parts
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield a condition for each rung of a machine, by name: it holds while the machine is up and there."""
    for rung in parts.rungs:
        provides = [f"{name}-{rung}" for name in names]
        yield (
            provides[0],
            {
                "description": f"{names[-1]} has reached its rung {rung}",
                "provides": provides,
                "binds_to": [names[0]],
                "ready": {
                    "kind": "path",
                    "path": rung_file(parts.places.directory, rung),
                    "timeout": 0,
                },
                "autostart": False,
            },
        )
