"""Import the spawners where no C extension was built; print which is taken and why."""

import sys

sys.modules["virtsupd.process._spawn"] = None  # type: ignore[assignment]  # makes the import fail

from virtsupd.process.spawn import ExtensionSpawner, best_spawner  # noqa: E402 - after the line above

sys.stdout.write(f"{type(best_spawner()).__name__}: {ExtensionSpawner.why_not()}\n")
