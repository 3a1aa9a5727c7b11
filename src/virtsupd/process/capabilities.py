"""Linux capabilities by name, and which of them virtsupd itself can hand on."""

import re
from pathlib import Path

from virtsupd.errors import SpawnError

# By number, without CAP_.
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NUMBER_BY_NAME = {f"CAP_{name}": number for number, name in enumerate(_NAMES.split())}
"""Numbers as in linux/capability.h."""


def capability_mask(names: tuple[str, ...]) -> int:
    """Return the names ("CAP_NET_ADMIN") as a bit set.

    Raises:
        SpawnError: a name is unknown (stage "capabilities"); permanent.
    """
    mask = 0
    for name in names:
        number = NUMBER_BY_NAME.get(name)
        if number is None:
            raise SpawnError(
                "capabilities", f"cannot find a capability named {name!r}", is_permanent=True
            )
        mask |= 1 << number
    return mask


def require_capabilities(names: tuple[str, ...]) -> None:
    """Check that virtsupd holds what a service is to keep.

    Raises:
        SpawnError: a name is unknown, or virtsupd does not hold it (stage "capabilities");
            permanent.
    """
    missing = capability_mask(names) & ~(own_capabilities("CapPrm") & own_capabilities("CapBnd"))
    if missing:
        lacking = ", ".join(name for name in names if missing >> NUMBER_BY_NAME[name] & 1)
        raise SpawnError(
            "capabilities",
            f"cannot give {lacking}: virtsupd does not hold it itself",
            is_permanent=True,
        )


def own_capabilities(which: str) -> int:
    """Return one of virtsupd's own sets ("CapPrm", "CapBnd", "CapEff") as bits."""
    status = Path("/proc/self/status").read_bytes()
    match = re.search(rb"^%s:\s*([0-9a-f]+)$" % which.encode(), status, re.MULTILINE)
    return int(match[1], 16) if match else 0
