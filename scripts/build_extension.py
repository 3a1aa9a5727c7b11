"""Compile src/virtsupd/process/_spawn.c, or say in one line why virtsupd does without it.

Beside that extension it builds `_keep_status`, the program that writes down how a one-shot ended.

As a build hook it puts the extension into the wheel, or in place for an editable installation; run
as a program it builds in place too: `python scripts/build_extension.py`. VIRTSUPD_EXTENSION=require makes a failure an
error, VIRTSUPD_EXTENSION=skip leaves the extension out.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a program, without hatchling
    BuildHookInterface = object  # type: ignore[assignment,misc]  # stands in for the base class

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("src/virtsupd/process/_spawn.c")
FILE_NAME = f"_spawn{sysconfig.get_config_var('EXT_SUFFIX')}"
PROGRAM = Path("src/virtsupd/process/_keep_status.c")
PROGRAM_NAME = "_keep_status"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # of any builder configuration
    """Adds the compiled extension to the wheel; without a compiler the wheel is pure Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        if self.target_name != "wheel":
            return
        if version == "editable":
            main()
            return
        self.scratch = Path(tempfile.mkdtemp(prefix="virtsupd-build-"))
        target = self.scratch / FILE_NAME
        program = self.scratch / PROGRAM_NAME
        why_not = build(Path(self.root), target) or build_program(Path(self.root), program)
        if why_not is not None:
            announce(why_not)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(target)] = f"virtsupd/process/{FILE_NAME}"
        build_data["force_include"][str(program)] = f"virtsupd/process/{PROGRAM_NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled, once it is in the wheel."""
        del version, build_data, artifact_path
        scratch = getattr(self, "scratch", None)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def build(root: Path, target: Path) -> str | None:
    """Compile the extension to `target`; return None, or why there is none.

    On failure no `target` is left behind or replaced.
    """
    include = sysconfig.get_path("include")
    flags = ["-fPIC", "-shared", "-fno-strict-aliasing", f"-I{include}"]
    missing = None
    if not Path(include, "Python.h").exists():
        missing = f"Python.h is not in {include} (Debian: apt install python3-dev)"
    return _compile(root / SOURCE, target, flags, missing)


def build_program(root: Path, target: Path) -> str | None:
    """Compile the keeper of statuses to `target`, likewise."""
    return _compile(root / PROGRAM, target, [], None)


def _compile(source: Path, target: Path, flags: list[str], missing: str | None) -> str | None:
    if os.environ.get("VIRTSUPD_EXTENSION") == "skip":
        return "VIRTSUPD_EXTENSION=skip"
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler (cc, gcc or clang) was found"
    if missing is not None:
        return missing
    unfinished = target.with_suffix(".building")
    always = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
    outcome = subprocess.run(
        [*compiler, *always, *flags, str(source), "-o", str(unfinished)],
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        unfinished.unlink(missing_ok=True)
        errors = [line for line in outcome.stderr.splitlines() if "error" in line]
        return f"{compiler[0]} failed: {errors[0] if errors else outcome.stderr.strip()}"
    if outcome.stderr:
        print(outcome.stderr, file=sys.stderr)
    unfinished.replace(target)
    return None


def find_compiler() -> list[str] | None:
    """Return the command of a C compiler: CC if set, else the usual names."""
    named = shlex.split(os.environ.get("CC", ""))
    candidates = [named] if named else [["cc"], ["gcc"], ["clang"]]
    return next((words for words in candidates if shutil.which(words[0])), None)


def announce(why_not: str) -> None:
    """Say that there is no extension, or end the build where it was required."""
    message = f"virtsupd is built without its C extension: {why_not}. It works, but starts services slower."
    if os.environ.get("VIRTSUPD_EXTENSION") == "require":
        raise SystemExit(message)
    print(message, file=sys.stderr)


def main() -> int:
    """Build in place; exit 0 when the extension is there, 1 when not."""
    target = ROOT / SOURCE.with_name(FILE_NAME)
    program = ROOT / PROGRAM.with_name(PROGRAM_NAME)
    why_not = build_program(ROOT, program) or build(ROOT, target)
    if why_not is not None:
        announce(why_not)
        return 1
    print(f"built {target.relative_to(ROOT)} and {program.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
