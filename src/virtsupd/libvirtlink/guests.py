"""The QEMU of a domain, as libvirt's pid file names it."""

import os

_RUN_DIR = "/run/libvirt/qemu"
_SYSTEM = ("qemu:///system", "qemu+unix:///system")


def run_dir_of(uri: str) -> str | None:
    """Return where a libvirt of this host keeps its pid files; None if that is not known."""
    return _RUN_DIR if uri.partition("?")[0] in _SYSTEM else None


def qemu_of(domain: str, run_dir: str | None) -> tuple[int | None, float | None]:
    """Return the pid of a domain's QEMU and when it began (wall clock); None for what is not known.

    The file may be left over: the process it names has to be a QEMU of that guest.
    """
    if run_dir is None:
        return None, None
    try:
        with open(f"{run_dir}/{domain}.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
        if not any(_names(argument, domain) for argument in arguments):
            return None, None
        return pid, _began(pid)
    except (OSError, ValueError):
        return None, None


def _names(argument: bytes, domain: str) -> bool:
    """Whether it is the value of -name for this guest; QEMU's options double a comma in a value."""
    name = b"guest=" + domain.replace(",", ",,").encode()
    return argument == name or argument.startswith(name + b",debug-threads")


def _began(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        ticks = int(file.read().rsplit(b")", 1)[1].split()[19])
    with open("/proc/stat", "rb") as file:
        boot = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    return boot + ticks / os.sysconf("SC_CLK_TCK")
