"""Limits as the kernel takes them."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.core.spec import Limit
from virtsupd.errors import SpawnError
from virtsupd.process.limits import (
    check_limit,
    denial,
    limit_values,
    lowered_to,
    with_started_nofile,
)

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (Limit("files", 1, 1), "no such limit"),
        (Limit("nofile", 2, 1), "soft 2 is above hard 1"),
        (Limit("nofile", None, 1), "soft unlimited is above hard 1"),
    ],
)
def test_impossible_limits_are_refused(limit: Limit, message: str) -> None:
    with pytest.raises(SpawnError, match=message) as caught:
        check_limit(limit)
    assert (caught.value.stage, caught.value.is_permanent) == ("limits", True)


@pytest.mark.parametrize("limit", [Limit("core", 0, None), Limit("as", None, None)])
def test_no_limit_is_a_limit_too(limit: Limit) -> None:
    check_limit(limit)
    assert limit_values(limit)[1] == INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "result"),
    [
        (100, 200, 150, (100, 150)),
        (100, 200, 50, (50, 50)),
        (None, None, 50, (50, 50)),
        (100, None, INFINITY, (100, INFINITY)),
    ],
)
def test_a_denied_limit_comes_as_near_as_it_may(
    soft: int | None, hard: int | None, allowed: int, result: tuple[int, int]
) -> None:
    assert lowered_to(Limit("nofile", soft, hard), allowed) == result


def test_a_denial_says_what_was_wanted_and_what_holds() -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert denial(Limit("nofile", 5, 7), "no") == (
        f"cannot set limit nofile to 5 (at most 7): no; at most {own} here"
    )
    assert denial(Limit("nofile", None, None), "no").startswith(
        "cannot set limit nofile to unlimited: no"
    )


def test_a_service_gets_the_descriptor_limit_virtsupd_was_started_with(
    tmp_path: Path,
) -> None:
    script = (
        "import resource, sys; from virtsupd.process import limits; "
        "limits.raise_own_descriptors(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], limits.with_started_nofile(()))"
    )
    found = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -S -n 100; exec "$0" -c "$1"', sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    raised, restored = found.split(maxsplit=1)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(raised) == hard
    assert restored.strip() == f"{(Limit('nofile', 100, hard),)!r}"


def test_a_limit_of_the_service_itself_wins_over_the_one_virtsupd_was_started_with() -> None:
    own = (Limit("nofile", 7, 7),)
    assert with_started_nofile(own) == own


def test_what_an_exec_found_raised_is_not_what_services_get() -> None:
    script = (
        "import resource; from virtsupd.process import limits; "
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "limits.raise_own_descriptors((90, hard)); "
        "print(limits.started_with()[0], limits.with_started_nofile(())[0].soft)"
    )
    found = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -S -n hard; exec "$0" -c "$1"', sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found.split() == ["90", "90"]
