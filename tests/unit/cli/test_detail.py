import time
from typing import Any

from tests.support.fake_varlink import reason, service, stopped

from virtsupd.cli.detail import Surroundings, detail, needed_by, size
from virtsupd.cli.style import Style

NOW = time.mktime((2026, 11, 22, 15, 22, 40, 0, 0, -1))


def page(record: Any, *others: Any, lines: list[str] | None = None, **around: Any) -> list[str]:
    """Return the lines of a service's page."""
    known = {name: one for one in (record, *others) for name in one["provides"]}
    found = Surroundings(known, lines or [], **around)
    return detail(record, found, NOW, Style()).splitlines()


def test_a_page_says_everything_about_a_service() -> None:
    record = service(
        "libvirtd",
        provides=["libvirtd", "libvirt"],
        description="the libvirt daemon",
        requires=["virtlog"],
        binds_to=["udev"],
        wants=["dbus-system"],
        after=["time"],
        before=["late"],
        conflicts=["virtqemud"],
        since=NOW - 186,
        wanted_by="root via virtsupctl",
        wanted_since=NOW - 190,
        status_text="accepting",
        restarts=2,
        exits=[
            {"code": None, "signal": "SIGKILL", "text": "ended by SIGKILL", "at": NOW - 186},
            {"code": 3, "signal": None, "text": "exited with code 3", "at": NOW - 200},
        ],
        replacement_pending=True,
        warnings=["memlock was not raised"],
        command=["/usr/sbin/libvirtd", "--config", "/a b"],
        log_files=["/var/log/virtsupd/libvirtd.log"],
        actions=[{"name": "make-pki", "description": "create keys"}],
        stop_mode="process",
        source="host.toml [libvirt]",
    )
    virtlogd = stopped("virtlogd", provides=["virtlogd", "virtlog"], wanted=True)
    guest = service("childhurd", kind="guest", requires=["libvirt"])
    assert page(record, virtlogd, guest, lines=["one", "two\x1b"]) == [
        "+ libvirtd: the libvirt daemon",
        "  State         running since 15:19:34, 3 min ago, pid 4711",
        "  Says          accepting",
        "  Wanted        up, by root via virtsupctl, 3 min ago, 15:19:30",
        "  Enabled       yes",
        "  Pending       its definition has changed (virtsupctl plan libvirtd says how); apply it with: virtsupctl restart libvirtd",
        "  Provides      libvirtd, libvirt",
        "  Requires      virtlog (stopped)",
        "  Binds to      udev",
        "  Wants         dbus-system",
        "  After         time",
        "  Before        late",
        "  Conflicts     virtqemud",
        "  Needed by     childhurd",
        "  Restarts      2 by itself",
        "  Last exit     ended by SIGKILL, 3 min ago, 15:19:34",
        "  before        exited with code 3, 3 min ago, 15:19:20",
        "  Kind          service, started again when it ends",
        "  Command       /usr/sbin/libvirtd --config '/a b'",
        "  Stop          signals its main process alone; what that has started lives on",
        "  Actions       make-pki",
        "  Defined in    host.toml [libvirt]",
        "  Warning       memlock was not raised",
        "",
        "  Log           /var/log/virtsupd/libvirtd.log",
        "  | one",
        "  | two\\x1b",
    ]


def test_arguments_of_this_run_alone_are_shown() -> None:
    lines = page(service("luxid", once=["--no-voting", "a\x1bb"]))
    given = "  Once          this process was started with --once --no-voting 'a\\x1bb'; the next one is not"
    assert given in lines
    assert not any("--once" in line for line in page(service("luxid")))


def test_what_lives_beside_a_service_is_counted() -> None:
    assert "  Beside it     1 process in its cgroup that its stop leaves alone" in page(
        service("libvirtd"), lives_beside=1
    )
    assert "  Beside it     2 processes in its cgroup that its stop leaves alone" in page(
        stopped("libvirtd"), lives_beside=2
    )


def test_the_definition_stands_behind_the_command() -> None:
    lines = page(service("web"), definition='command = ["x"]\nuser = "nobody"\n')
    position = next(n for n, line in enumerate(lines) if line.startswith("  Command"))
    assert lines[position + 1 : position + 4] == [
        "  User          nobody",
        "  Ready         as soon as it is started",
        "  Health        not checked",
    ]


def test_a_failed_service_says_how_to_try_again() -> None:
    lines = page(
        stopped("web", failed=True, reason=reason("failed", "exited with code 3"), since=NOW - 5)
    )
    assert lines[0] == "! web"
    assert lines[1] == "  State         failed since 15:22:35, 5 s ago"
    assert lines[2] == "  Reason        exited with code 3; try again with: virtsupctl start web"


def test_a_disabled_service_says_how_to_allow_it() -> None:
    lines = page(stopped("web", enabled=False, reason=reason("disabled", "disabled; …")))
    assert "  Enabled       no; allow it with: virtsupctl enable web" in lines
    assert not any("Reason" in line for line in lines)


def test_backing_off_says_when_it_goes_on() -> None:
    wait = reason("backing-off", "starts again by itself", retry_at=NOW + 12)
    assert "  Reason        starts again by itself in 12 s" in page(stopped("web", reason=wait))


def test_a_target_has_no_rows_about_processes() -> None:
    lines = page(service("boot", kind="target", pid=None, command=[], since=0.0, wanted_since=0.0))
    assert lines == [
        "+ boot",
        "  State         running",
        "  Wanted        up, by boot",
        "  Enabled       yes",
        "  Kind          target",
        "  Defined in    host.toml [service.thing]",
    ]


def test_a_transient_one_shot_says_what_it_is() -> None:
    lines = page(service("job", kind="one-shot", transient=True, done=True, pid=None, since=NOW))
    assert lines[1] == "  State         done since 15:22:40, 0 s ago"
    assert "  Kind          one-shot, vanishes when it ends" in lines


def test_processes_are_a_table() -> None:
    processes: list[Any] = [
        {"pid": 7, "command": "qemu \x1b", "memory_bytes": 17 << 30, "cpu_seconds": 75.0},
        {"pid": 22871, "command": "sh", "memory_bytes": 900, "cpu_seconds": 0.5},
    ]
    assert page(service("vm"), processes=processes)[-3:] == [
        "    PID  MEMORY         CPU  COMMAND",
        "      7  17 GiB  1 min 15 s  qemu \\x1b",
        "  22871   900 B       0.5 s  sh",
    ]
    assert page(service("vm"), processes=[])[-1] == "  No processes."


def test_dependents_are_found_by_any_name() -> None:
    record: Any = service("a", provides=["a", "alias"])
    others: Any = {
        "b": service("b", requires=["alias"]),
        "c": service("c", binds_to=["a"]),
        "d": service("d", wants=["a"]),
    }
    assert needed_by(record, others) == ["b", "c"]


def test_sizes_have_three_digits() -> None:
    counts = (0, 999, 1000, 51_234_567, 5 << 30)
    assert [size(count) for count in counts] == ["0 B", "999 B", "0.977 KiB", "48.9 MiB", "5 GiB"]


def test_a_guest_of_libvirt_says_which_domain_it_is() -> None:
    record = service("web", kind="guest", domain=["web1", "qemu:///system"], pid=None)
    [line] = [line for line in page(record) if line.startswith("  Domain")]
    assert line.split(maxsplit=1)[1] == "web1 of qemu:///system"
