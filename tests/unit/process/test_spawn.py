"""The public face of spawning; what spawners do is in tests/process/test_spawn.py."""

from virtsupd.process import spawn


def test_the_best_spawner_is_one_of_the_two() -> None:
    best = spawn.best_spawner()
    has_extension = spawn.ExtensionSpawner.why_not() is None
    assert isinstance(best, spawn.ExtensionSpawner if has_extension else spawn.ShellSpawner)


def test_everything_public_is_there() -> None:
    assert all(hasattr(spawn, name) for name in spawn.__all__)
