"""What the daemon's command does once its options are read: check a host file, or supervise it.

A module of its own because everything is imported with it: `virtsupd` imports it with the collector
off.
"""

import os
import sys
import time
from pathlib import Path

import anyio

from virtsupd import __version__
from virtsupd.cli.daemon_log import configure_log
from virtsupd.config.load import Loaded, load
from virtsupd.daemon.daemon import Daemon
from virtsupd.daemon.domains import Processes
from virtsupd.daemon.past import nofile_of
from virtsupd.daemon.prerequisites import refusals
from virtsupd.daemon.reexecution import READS
from virtsupd.errors import ConfigError, ReexecError, VirtsupdError
from virtsupd.process.clock import SystemClock
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.limits import raise_own_descriptors
from virtsupd.process.reaper import Reaper, become_subreaper
from virtsupd.process.reexec import Handover, received
from virtsupd.process.spawn import best_spawner
from virtsupd.process.successor import report
from virtsupd.services.registry import KINDS

DONE, FAILED, REFUSED, LEFT = 0, 1, 2, 3


def check(path: Path) -> int:
    """Say whether a host file and all that belongs to it is sound; return 0 or 2.

    What services lack on this host is said too, and refuses nothing. What virtsupd itself, or a
    program of a built-in kind, is known to refuse here as it is now does.
    """
    from virtsupd.cli.host_check import checked_on_host  # noqa: PLC0415 - a start does without it
    from virtsupd.cli.upcoming import lapsed, upcoming  # noqa: PLC0415 - likewise

    try:
        loaded = load(path, KINDS)
    except ConfigError as error:
        return _refuse(path, error)
    host_faults = tuple(fault.text for fault in loaded.host_faults())
    if faults := (*host_faults, *refusals(loaded)):
        return _refuse(path, ConfigError(faults))
    now = time.time()
    found = (*loaded.warnings, *loaded.host_remarks(), *checked_on_host(loaded))
    status = _report(loaded, (*found, *lapsed(loaded, now)))
    for line in upcoming(loaded, now):
        print(line)
    return status


def supervise(path: Path) -> int:
    """Supervise what a host file says until asked to end.

    Returns 0, 1 (failed), 2 (refused), or 3 (a shutdown could not end everything in its time).
    """
    handover = _received()
    try:
        loaded = load(path, KINDS)
    except ConfigError as error:
        return _refuse(path, error)
    try:
        return _run(loaded, handover)
    except VirtsupdError as error:
        print(f"virtsupd: {error}", file=sys.stderr)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        print(f"virtsupd: cannot use{place}: {reason}; {_next_step(loaded)}", file=sys.stderr)
    return FAILED


def check_reexec(path: Path) -> int:
    """Say what of a running virtsupd this program could go on with; return 0 or 2.

    It is refused as `supervise` would be: there is no way back from there.
    """
    try:
        loaded = load(path, KINDS)
    except ConfigError as error:
        return _refuse(path, error)
    if faults := refusals(loaded, as_itself=True):
        return _refuse(path, ConfigError(faults))
    host = loaded.host
    places = {"run_dir": str(host.run_dir), "state_dir": str(host.state_dir)}
    guarded = [name for spec in loaded.specs if spec.guard for name in spec.provides]
    print(report(__version__, READS, **places, guarded=guarded))
    return DONE


def _received() -> Handover | None:
    """Return what the program left that this process was before, if it was one and left it well."""
    try:
        return received()
    except ReexecError as error:
        # Signals stay blocked until there are handlers, as after a sound handover.
        print(f"virtsupd: {error}; the services are taken over as after a crash", file=sys.stderr)
        return None


def _refuse(path: Path, error: ConfigError) -> int:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    count = len(error.problems)
    print(
        f"virtsupd: {path} is refused: {count} problem{'s' if count != 1 else ''}", file=sys.stderr
    )
    return REFUSED


def _report(loaded: Loaded, warnings: tuple[str, ...]) -> int:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    stages = sum(spec.is_stage for spec in loaded.specs)
    services = _counted(len(loaded.specs) - stages, "service")
    print(f"{loaded.path} is sound: {services}, {_counted(stages, 'target')}")
    return DONE


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _run(loaded: Loaded, handover: Handover | None) -> int:
    async def run() -> tuple[str, ...]:
        reaper = Reaper()
        async with reaper.running(begins_later=handover is not None):
            daemon = Daemon(
                loaded,
                KINDS,
                processes=Processes(best_spawner(), reaper),
                clock=SystemClock(),
                handover=handover,
            )
            return await daemon.run()

    configure_log(loaded.host.log_format)
    raise_own_descriptors(nofile_of(Inheritance(handover)))
    if os.getpid() != 1:
        become_subreaper()
    left = anyio.run(run)
    for what in left:
        print(f"virtsupd: left behind: {what}", file=sys.stderr)
    return LEFT if left else DONE


def _next_step(loaded: Loaded) -> str:
    if os.geteuid() != 0:
        return "run it as root, or give it run_dir, state_dir and log_dir of its own in [host]"
    return f"check the directories in [host] of {loaded.path}"
