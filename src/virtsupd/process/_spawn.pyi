def spawn(
    *,
    executable: bytes,
    argv: tuple[bytes, ...],
    environment: tuple[bytes, ...],
    has_pid_variable: bool,
    directory: bytes,
    umask: int,
    credentials: tuple[int, int, tuple[int, ...]] | None,
    limits: tuple[tuple[int, int, int], ...],
    capabilities: int | None,
    oom_score: int | None,
    nice: int | None,
    no_new_privileges: bool,
    descriptors: tuple[int, ...],
    cgroup: int,
) -> tuple[int, str, int, list[tuple[str, int, int]]]: ...
def is_supported() -> bool: ...
