"""Errors differ by what the caller can do, and their codes never change."""

import pytest

from virtsupd import errors
from virtsupd.core.graph import GraphError
from virtsupd.errors import (
    ConfigError,
    SpawnError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)

CODES = {
    "VirtsupdError": "error",
    "ConfigError": "bad-configuration",
    "UnknownServiceError": "service-not-found",
    "UnknownActionError": "action-not-found",
    "ActionError": "action-failed",
    "ArgumentsError": "usage",
    "TransitionError": "impossible-transition",
    "SpawnError": "spawn-failed",
    "NotReadyError": "not-ready",
    "NoVerdictError": "no-verdict",
    "GuestError": "guest-failed",
    "ProtocolError": "bad-message",
    "PeerDeniedError": "permission-denied",
    "UnreachableError": "unreachable",
    "ReexecError": "reexec-refused",
    "ReexecutingError": "re-executing",
    "AlreadyRunningError": "already-running",
}


def test_codes_are_those_that_programs_rely_on() -> None:
    kinds = [v for v in vars(errors).values() if isinstance(v, type)]
    assert {k.__name__: k.code for k in kinds if issubclass(k, VirtsupdError)} == CODES


def test_every_error_has_one_root_and_no_two_share_a_code() -> None:
    kinds = [getattr(errors, name) for name in CODES]
    assert all(issubclass(kind, VirtsupdError) for kind in kinds)
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("kind", [ConfigError, GraphError])
def test_a_refused_configuration_lists_every_problem(kind: type[ConfigError]) -> None:
    error = kind(("a is bad", "b is worse"))
    assert error.problems == ("a is bad", "b is worse")
    assert str(error) == "a is bad\nb is worse"


@pytest.mark.parametrize(
    ("nearest", "text"),
    [
        (None, "no service is named 'libvrtd'"),
        ("libvirtd", "no service is named 'libvrtd'; did you mean libvirtd?"),
    ],
)
def test_an_unknown_service_comes_with_the_nearest_name(nearest: str | None, text: str) -> None:
    error = UnknownServiceError("libvrtd", nearest)
    assert (str(error), error.name, error.nearest) == (text, "libvrtd", nearest)


def test_an_unknown_action_says_whose() -> None:
    error = UnknownActionError("fly", "libvirtd")
    assert (str(error), error.action, error.service) == (
        "libvirtd has no action 'fly'",
        "fly",
        "libvirtd",
    )


def test_a_failed_spawn_names_its_stage_and_whether_trying_again_helps() -> None:
    error = SpawnError("user", "no user is named 'www'", is_permanent=True)
    assert (error.stage, error.is_permanent, str(error)) == ("user", True, "no user is named 'www'")
