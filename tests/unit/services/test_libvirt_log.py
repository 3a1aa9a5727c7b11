import pytest

from virtsupd.services.action_program import UsageError
from virtsupd.services.libvirt_log import Logging, Table, changed, options
from virtsupd.services.libvirt_values import log_filters, log_outputs

NOW = Logging(log_filters("3:remote 4:event"), log_outputs("3:stderr"))
TABLE = Table(3, log_filters("2:util"), log_outputs("3:stderr 1:file:/srv/libvirtd.log"))


def after(*words: str, now: Logging = NOW) -> tuple[str, str]:
    """Return the filters and outputs that the words make of those in force."""
    found = changed(now, TABLE, options("libvirtd", words))
    return str(found.filters), str(found.outputs)


@pytest.mark.parametrize(
    ("words", "filters", "outputs"),
    [
        ([], "3:remote 4:event", "3:stderr"),
        (["1:qemu 2:util"], "1:qemu 2:util", "3:stderr"),
        (["1:qemu", "2:util"], "1:qemu 2:util", "3:stderr"),
        ([""], "", "3:stderr"),
        (["--level", "1"], "3:remote 4:event 1:*", "3:stderr"),
        (["--level", "2", "1:qemu"], "1:qemu 2:*", "3:stderr"),
        (["--outputs", "1:stderr"], "3:remote 4:event", "1:stderr"),
        (["--reset"], "2:util", "3:stderr 1:file:/srv/libvirtd.log"),
    ],
)
def test_what_is_said_changes_and_nothing_else(
    words: list[str], filters: str, outputs: str
) -> None:
    assert after(*words) == (filters, outputs)


def test_the_level_of_everything_is_said_once() -> None:
    before = Logging(log_filters("3:remote 1:*"), NOW.outputs)
    assert after("--level", "4", now=before)[0] == "3:remote 4:*"


@pytest.mark.parametrize(
    "words",
    [
        ["9:qemu"],
        ["qemu"],
        ["--level", "5"],
        ["--outputs", "stderr"],
        ["--outputs", ""],
        ["--reset", "1:qemu"],
        ["--reset", "--outputs", "1:stderr"],
        ["--out", "1:stderr"],
    ],
)
def test_what_the_daemon_would_refuse_or_mistake_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        after(*words)


@pytest.mark.parametrize("file", ["/var/log/libvirt/debug.log", "/srv/libvirtd.log"])
def test_logs_go_to_the_directory_of_logs_and_where_the_host_file_says(file: str) -> None:
    assert after("--outputs", f"1:file:{file}")[1] == f"1:file:{file}"


@pytest.mark.parametrize(
    "file",
    ["/etc/cron.d/x", "/var/log/libvirt/../x", "/var/log/libvirt/qemu/x", "/var/log/libvirt/.."],
)
def test_who_may_run_actions_cannot_have_root_write_anywhere(file: str) -> None:
    with pytest.raises(UsageError, match="must be a file in /var/log/libvirt"):
        after("--outputs", f"3:stderr 1:file:{file}")


@pytest.mark.parametrize(
    ("filters", "outputs", "hint"),
    [
        ("3:remote", "3:stderr", ""),
        ("1:qemu", "1:stderr", ""),
        ("4:*", "4:stderr", ""),
        ("1:qemu", "3:stderr 2:file:/x", '--outputs "1:stderr"'),
        ("4:qemu", "4:stderr", '--outputs "3:stderr"'),
        ("2:*", "3:journald", '--outputs "2:journald"'),
    ],
)
def test_messages_that_no_output_takes_are_told(filters: str, outputs: str, hint: str) -> None:
    lost = Logging(log_filters(filters), log_outputs(outputs)).lost(3)
    assert hint in lost if hint else not lost
