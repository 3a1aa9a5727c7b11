"""The fields that `[hurd_vm]` and `[[build_vm]]` have in common: a machine's image, guest and QEMU."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from virtsupd.config.model import KindTable
from virtsupd.config.values import (
    AbsolutePath,
    Account,
    Bytes,
    FilledText,
    Flag,
    PositiveCount,
    Seconds,
    Text,
)

FALSE_IS_NONE: Final = BeforeValidator(lambda value: None if value is False else value)
_SNAPSHOT: Final = ("--snapshot", "-snapshot")


class MachineTable(KindTable):
    """What is said of any machine; each kind has fields of its own, and other defaults."""

    image: FilledText | None = None
    """The disk: a file, or a URL (https, http, file) that is fetched once."""
    checksum: Annotated[str, Field(strict=True, pattern=r"^sha(256|512):[0-9a-fA-F]+$")] | None = (
        None
    )
    """Of what is fetched: "sha256:..." or "sha512:..."."""
    os: AbsolutePath | None = None
    """Without an image: a Scheme file with an operating-system, of which guix builds one."""
    disk_size: Literal["guess"] | Bytes = "guess"
    """Of an image that is built."""
    qemu: AbsolutePath | None = None
    """Prefix of the QEMU that runs it; default: PATH."""
    memory_size: PositiveCount = 512
    """MiB."""
    options: tuple[Text, ...] | None = None
    """More arguments of QEMU. Default: "--snapshot", by which nothing that the guest writes is kept;
    none if it is stateful."""
    stateful: Flag = False
    """Whether what the guest writes is kept: in the image itself, which QEMU's account has to own; of
    one that was fetched or built, in a file laid on it."""
    offloading: Flag = True
    """Whether the host's Guix builds in it while it can be reached: if there is a Guix (/etc/guix/acl,
    /etc/guix/signing-key.pub or /var/guix), the guest's key is accepted and the machine offered in
    machines.scm, and both are taken back when it is down."""
    offload_user: Account = "offloading"
    """Whom the host logs in as to build; root in images of older Guix."""
    group: Account = "kvm"
    """QEMU's group, by which it may open /dev/kvm."""
    access_group: Account | None = None
    """Whose members may use its console, monitor and agent as root may, `qmp` among them: they can do
    whatever QEMU's account can, and in the guest whatever root can."""
    kvm: bool | Literal["auto"] = "auto"
    """Whether QEMU uses KVM; "auto": if its account can open /dev/kvm, until a guest does not run with it."""
    agent: Flag = True
    """Whether it has a channel for a guest agent; that nobody answers on it does no harm."""
    ready_at: Literal["monitor", "secrets", "agent", "ssh"] = "ssh"
    """How far it has to come to count as running."""
    boot_timeout: Seconds = 300.0
    """How long each of its rungs may take, but for the monitor's; then it is started again."""

    @property
    def more_options(self) -> tuple[str, ...]:
        """Return the arguments of QEMU that are said, or go without saying."""
        default = () if self.stateful else _SNAPSHOT[:1]
        return default if self.options is None else self.options

    @property
    def is_volatile(self) -> bool:
        """Whether QEMU is told to keep nothing that the guest writes."""
        return any(option in _SNAPSHOT for option in self.more_options)
