"""The daemon's command: `virtsupd --config host.toml`, and `--check` and `--example`, which start nothing."""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from virtsupd import __version__
from virtsupd.process import early_signals

_DEFAULT_CONFIG = Path("/etc/virtsupd/host.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 ended as asked, 1 failed, 2 refused."""
    early_signals.hold()  # until `Daemon.run` can take them
    options = _parser().parse_args(arguments)
    if options.example or options.check or options.check_reexec:
        early_signals.release()
    if options.example:
        sys.stdout.write(_example().read_text(encoding="utf-8"))
        return 0
    # Nearly all that is made while virtsupd starts stays until it ends: the collector would look at
    # it again and again, for a tenth of the time until the first service runs. `Daemon.run` turns it
    # on again.
    gc.disable()
    from virtsupd.cli import supervise  # noqa: PLC0415 - see above

    if options.check:
        return supervise.check(options.config)
    if options.check_reexec:
        return supervise.check_reexec(options.config)
    return supervise.supervise(options.config)


def _example() -> Path:
    """Return the complete host file: of the installed package, or of a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "examples" / "host.toml"
    return installed if installed.is_file() else package.parent.parent / "config" / "host.toml"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtsupd",
        description="Supervise one virtualization host: run what a host file says as one graph.",
        epilog="Control it with virtsupctl(1). SIGHUP reloads the host file; "
        "SIGUSR1 re-executes virtsupd, also as a new version, with every service kept; what SIGTERM does, "
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
    parser.add_argument("--check-reexec", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--example",
        action="store_true",
        help="print a host file with every key and a comment on each, and end",
    )
    parser.add_argument("--version", action="version", version=f"virtsupd {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
