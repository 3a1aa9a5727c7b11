"""The daemon's command: `virtsupd --config host.toml`, and `--check`, which starts nothing."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from virtsupd import __version__
from virtsupd.cli.daemon_log import configure_log
from virtsupd.config.load import Loaded, load
from virtsupd.daemon import Daemon
from virtsupd.errors import ConfigError, VirtsupdError
from virtsupd.process.clock import SystemClock
from virtsupd.process.limits import raise_own_descriptors
from virtsupd.process.reaper import Reaper, become_subreaper
from virtsupd.process.spawn import best_spawner
from virtsupd.services.registry import KINDS

_DEFAULT_CONFIG = Path("/etc/virtsupd/host.toml")
_DONE, _FAILED, _REFUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 ended as asked, 1 failed, 2 refused."""
    options = _parser().parse_args(arguments)
    try:
        loaded = load(options.config, KINDS)
    except ConfigError as error:
        return _refuse(options.config, error)
    if options.check:
        return _report(loaded)
    try:
        return _run(loaded)
    except VirtsupdError as error:
        print(f"virtsupd: {error}", file=sys.stderr)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        print(f"virtsupd: cannot use{place}: {reason}; {_next_step(loaded)}", file=sys.stderr)
    return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtsupd",
        description="Supervise one virtualization host: run what a host file says as one graph.",
        epilog="Control it with virtsupctl(1). SIGHUP reloads the host file; what SIGTERM does, "
        "[host] on_term says; SIGINT in the foreground stops everything.",
    )
    parser.add_argument(
        "--config",
        "-c",
        type=Path,
        default=_DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the host file (default {_DEFAULT_CONFIG})",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check the host file and all that belongs to it, and end",
    )
    parser.add_argument("--version", action="version", version=f"virtsupd {__version__}")
    return parser


def _refuse(path: Path, error: ConfigError) -> int:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    count = len(error.problems)
    print(
        f"virtsupd: {path} is refused: {count} problem{'s' if count != 1 else ''}", file=sys.stderr
    )
    return _REFUSED


def _report(loaded: Loaded) -> int:
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    stages = sum(spec.is_stage for spec in loaded.specs)
    print(f"{loaded.path} is sound: {len(loaded.specs) - stages} services, {stages} targets")
    return _DONE


def _run(loaded: Loaded) -> int:
    """Supervise until asked to end."""

    async def supervise() -> None:
        reaper = Reaper()
        async with reaper.running():
            daemon = Daemon(
                loaded, KINDS, spawner=best_spawner(), reaper=reaper, clock=SystemClock()
            )
            await daemon.run()

    configure_log(loaded.host.log_format)
    raise_own_descriptors()
    if os.getpid() != 1:
        become_subreaper()
    anyio.run(supervise)
    return _DONE


def _next_step(loaded: Loaded) -> str:
    if os.geteuid() != 0:
        return "run it as root, or give it run_dir, state_dir and log_dir of its own in [host]"
    return f"check the directories in [host] of {loaded.path}"


if __name__ == "__main__":
    sys.exit(main())
