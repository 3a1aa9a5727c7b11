import pytest

from virtsupd.cli.arguments import parse
from virtsupd.cli.problems import error_code, exit_status, explain
from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ConfigError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    UnreachableError,
    VirtsupdError,
)

STATUSES: list[tuple[VirtsupdError | TimeoutError, int, str]] = [
    (VirtsupdError("x"), 1, "error"),
    (ActionError("x"), 1, "action-failed"),
    (ArgumentsError("x"), 2, "usage"),
    (ProtocolError("x"), 1, "bad-message"),
    (ConfigError(("x",)), 2, "bad-configuration"),
    (UnknownServiceError("x"), 4, "service-not-found"),
    (UnknownActionError("x", "y"), 4, "action-not-found"),
    (PeerDeniedError("x"), 5, "permission-denied"),
    (UnreachableError("x"), 6, "unreachable"),
    (TimeoutError(), 7, "timed-out"),
]


@pytest.mark.parametrize(("error", "status", "code"), STATUSES)
def test_each_error_has_its_exit_status_and_code(
    error: VirtsupdError | TimeoutError, status: int, code: str
) -> None:
    assert exit_status(error) == status
    assert error_code(error) == code


def said(error: VirtsupdError | TimeoutError, *words: str) -> str:
    """Return the explanation of an error to a command line."""
    return explain(error, parse(words))


def unreachable(cause: OSError) -> UnreachableError:
    """Return the client's error for what connect(2) said."""
    error = UnreachableError("cannot reach virtsupd at /s: why")
    error.__cause__ = cause
    return error


def test_an_unreachable_daemon_is_explained_by_what_the_socket_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VIRTSUPD_SOCKET", raising=False)
    start = "start it with: virtsupd --config /etc/virtsupd/host.toml"
    assert said(unreachable(FileNotFoundError())).endswith(f"is it running? {start}")
    assert said(unreachable(ConnectionRefusedError())).endswith(f"left its socket; {start}")
    assert "you have no role" in said(unreachable(ConnectionResetError()))
    assert said(unreachable(OSError())) == "cannot reach virtsupd at /s: why"


def test_no_host_file_is_named_for_a_socket_that_is_not_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = "virtsupd --config FILE, the host file of that socket"
    monkeypatch.delenv("VIRTSUPD_SOCKET", raising=False)
    assert said(unreachable(FileNotFoundError()), "--socket", "/s", "status").endswith(other)
    monkeypatch.setenv("VIRTSUPD_SOCKET", "/s")
    assert said(unreachable(ConnectionRefusedError()), "status").endswith(other)


def test_a_refusal_names_the_place_where_roles_are_given() -> None:
    assert said(PeerDeniedError("stop needs role operator")) == (
        "permission denied: stop needs role operator; see [access] in the host file"
    )
    assert said(PeerDeniedError("cannot open /s: permission denied")) == (
        "cannot open /s: permission denied; see [access] in the host file"
    )
    assert said(PeerDeniedError("permission denied: see [access]")) == (
        "permission denied: see [access]"
    )


def test_a_refused_configuration_shows_every_problem() -> None:
    assert said(ConfigError(("a: b", "c: d")), "reload") == (
        "the configuration is refused, nothing has changed:\n  a: b\n  c: d"
    )


def test_an_unknown_service_comes_with_a_hint() -> None:
    assert said(UnknownServiceError("libvrtd", "libvirtd"), "start", "libvrtd").endswith(
        "did you mean libvirtd?"
    )
    assert said(UnknownServiceError("x"), "start", "x").endswith("virtsupctl status lists them all")
    assert said(UnknownServiceError("root"), "stop", "root").startswith("root is virtsupd itself")


def test_swapped_words_are_noticed() -> None:
    error = UnknownServiceError("start")
    assert said(error, "libvirtd", "start").endswith("did you mean: virtsupctl start libvirtd?")


def test_an_unknown_action_comes_with_a_hint() -> None:
    assert said(UnknownActionError("sttart", "a"), "sttart", "a", "b") == (
        "a has no action 'sttart', and it is no verb; did you mean: virtsupctl start a b?"
    )
    assert said(UnknownActionError("xyzzy", "a"), "xyzzy", "a") == (
        "a has no action 'xyzzy'; virtsupctl actions a lists them"
    )


def test_a_foreign_answer_suggests_another_version() -> None:
    assert said(ProtocolError("not JSON")).endswith("of the same version?")


def test_other_errors_speak_for_themselves() -> None:
    assert said(VirtsupdError("virtsupd is shutting down")) == "virtsupd is shutting down"


def test_the_end_of_a_wait_depends_on_what_was_waited_for() -> None:
    assert said(TimeoutError(), "status") == "no answer in time; see --timeout"
    assert said(TimeoutError(), "watch") == "--timeout is over"
    assert said(TimeoutError(), "log", "-f", "a") == "--timeout is over"
