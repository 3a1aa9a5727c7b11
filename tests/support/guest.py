"""A tiny real guest under libvirtd, and how to see that it lives."""

import re
import shutil
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.checks import eventually, text_of
from tests.support.namespaces import CHECKOUT, Namespaces

BUILT = CHECKOUT / ".cache/guest"
BOOT_SECONDS = 60.0
TICK_SECONDS = 10.0

_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <os>
    <type arch='x86_64'>hvm</type>
    <kernel>/var/lib/libvirt/boot/vmlinuz</kernel>
    <initrd>/var/lib/libvirt/boot/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <serial type='file'><source path='/var/log/libvirt/qemu/{name}-console.log'/></serial>
    {devices}
  </devices>
</domain>
"""

AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
"""A device on which the guest's agent answers, some seconds after its start."""


class Guest:
    """One guest; it writes "tick N" to its console twice a second, through virtlogd."""

    def __init__(self, host: Namespaces, name: str = "tiny", *, devices: str = "") -> None:
        """Take more devices as XML."""
        assert (BUILT / "initrd.gz").exists(), "no guest is built: scripts/make-guest"
        self._devices = devices
        self._host = host
        self.name = name

    def start(self) -> None:
        """Define and start it with virsh, and return once its userland runs."""
        self.define()
        self._start()

    def start_anew(self) -> None:
        """Start it with virsh as another process, its console log empty; return as `start`."""
        self._host.run("virsh", "--quiet", "destroy", self.name, is_ok=False)  # it may be down
        self._log.unlink()
        self._start()

    def _start(self) -> None:
        self._host.run("virsh", "--quiet", "start", self.name)
        eventually(lambda: self.ticks() > 0, f"a tick of {self.name}", seconds=BOOT_SECONDS)

    def define(self) -> None:
        """Define it with virsh."""
        boot = self._host.root / "var/lib/libvirt/boot"
        boot.mkdir(exist_ok=True)
        for file in ("vmlinuz", "initrd.gz"):
            shutil.copy(BUILT / file, boot / file)
        (self._host.root / "var/log/libvirt/qemu").mkdir(exist_ok=True)
        definition = self._host.shared / f"{self.name}.xml"
        definition.write_text(
            _DOMAIN.format(name=escape(self.name, {"'": "&apos;"}), devices=self._devices)
        )
        self._host.run("virsh", "--quiet", "define", str(definition))

    def ticks(self) -> int:
        """Return the number of the last whole tick in the console's log, 0 before the first."""
        found = re.findall(r"^tick (\d+)\r?\n", text_of(self._log), re.MULTILINE)
        return int(found[-1]) if found else 0

    @property
    def _log(self) -> Path:
        return self._host.root / f"var/log/libvirt/qemu/{self.name}-console.log"

    def identity(self) -> tuple[int, str | None]:
        """Return the pid of its QEMU and the start time: the same as long as it is the same process."""
        pid = int(text_of(self._host.root / f"run/libvirt/qemu/{self.name}.pid"))
        return pid, self._host.start_time(pid)

    def assert_goes_on(self) -> None:
        """See its console log grow by two more ticks: the guest runs, and virtlogd writes it down."""
        seen = self.ticks()
        eventually(
            lambda: self.ticks() >= seen + 2,
            f"a tick of {self.name} after tick {seen}",
            seconds=TICK_SECONDS,
        )
