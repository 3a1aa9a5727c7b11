"""A shutdown of the host with real guests of libvirt, none of which virtsupd was told of."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import BOOT_SECONDS, Guest
from tests.support.libvirt import COMMANDS, LibvirtHost, libvirt_host, successor

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

SECONDS = 60.0
_FIRMWARE = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <features><acpi/></features>
</domain>
"""


@contextmanager
def host_with(directory: Path, **settings: object) -> Iterator[LibvirtHost]:
    """Run virtsupd, virtlogd and libvirtd with more settings of `[host]`."""
    drop_ins = directory / "host.toml.d"
    drop_ins.mkdir(parents=True)
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (drop_ins / "end.toml").write_text("\n".join(["[host]", *lines, ""]))
    with libvirt_host(directory) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


def firmware(host: LibvirtHost, name: str, *, persistent: bool = False) -> None:
    """Start a guest that has nothing to boot, and so hears no power button."""
    definition = host.namespaces.shared / "firmware.xml"
    definition.write_text(_FIRMWARE.format(name=escape(name)))
    if persistent:
        host.virsh("define", str(definition))
        host.virsh("start", "--domain", name)
    else:
        host.virsh("create", str(definition))


def pid_of(host: LibvirtHost, name: str) -> int:
    """Return the pid, inside, of a guest's QEMU."""
    return int(text_of(host.namespaces.root / f"run/libvirt/qemu/{name}.pid"))


@contextmanager
def shutting_down(host: LibvirtHost) -> Iterator["subprocess.Popen[str]"]:
    """Yield a `virtsupctl shutdown` that is under way."""
    socket = str(host.namespaces.shared / "control")
    client = subprocess.Popen(
        [str(COMMANDS / "virtsupctl"), "--socket", socket, "--verbose", "shutdown"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield client
    finally:
        client.kill()
        client.communicate()


def waits(host: LibvirtHost) -> dict[str, str]:
    """Return the guests that a shutdown waits for, and what was done about each."""
    daemon = json.loads(host.control("--json", "status", is_ok=False).stdout)["daemon"]
    found = (daemon["shutdown"] or {"waits": []})["waits"]
    return {waiting["name"]: waiting["did"] for waiting in found if waiting["guest"]}


def logged(host: LibvirtHost, *words: str) -> list[str]:
    """Return the lines of virtsupd's log that hold one of the words."""
    return [line for line in host.namespaces.output.splitlines() if any(w in line for w in words)]


@contextmanager
def console(host: LibvirtHost, guest: Guest) -> Iterator[IO[str]]:
    """Open a guest's console log, which lies where nobody can look once all has ended."""
    path = host.namespaces.root / f"var/log/libvirt/qemu/{guest.name}-console.log"
    with path.open(errors="replace") as log:
        yield log


def is_alive(host: LibvirtHost, pid: int) -> bool:
    return host.namespaces.start_time(pid) is not None


def test_a_guest_powers_off_by_itself_before_anything_stops(tmp_path: Path) -> None:
    with host_with(tmp_path / "h") as host:
        guest = Guest(host.namespaces)
        guest.start()
        pid, _ = guest.identity()
        with console(host, guest) as log:
            done = host.control("--verbose", "shutdown", seconds=SECONDS)
            assert host.namespaces.wait() == 0
            assert "GUEST-POWERS-OFF" in log.read()
        assert not is_alive(host, pid)
        assert "waits for guests: tiny (0 of 1 ended)" in done.stderr
        assert done.stdout == "everything is stopped, virtsupd ends\n"


def test_guests_end_politely_though_libvirtd_was_stopped(tmp_path: Path) -> None:
    with host_with(tmp_path / "h") as host:
        guest = Guest(host.namespaces)
        guest.start()
        host.control("stop", "libvirtd")
        guest.assert_goes_on()
        with console(host, guest) as log:
            host.control("shutdown", seconds=SECONDS)
            assert host.namespaces.wait() == 0
            assert "GUEST-POWERS-OFF" in log.read()


def test_a_guest_that_is_a_service_which_never_saw_it_ends_politely(tmp_path: Path) -> None:
    """Its service waits for libvirtd, which an operator stopped."""
    with host_with(tmp_path / "h") as host:
        guest = Guest(host.namespaces)
        guest.start()
        host.control("stop", "libvirtd")
        entry = f'[[guest]]\ndomain = "{guest.name}"\n'
        (tmp_path / "h/host.toml.d/guest.toml").write_text(entry)
        host.control("reload")
        with console(host, guest) as log:
            host.control("shutdown", seconds=SECONDS)
            assert host.namespaces.wait(seconds=SECONDS) == 0
            assert "GUEST-POWERS-OFF" in log.read()


def test_guests_end_politely_though_libvirtd_hangs(tmp_path: Path) -> None:
    """One that is a service, and one that nobody declared: the host would cut the power of both."""
    with host_with(tmp_path / "h", guest_timeout="50s") as host:
        guests = [Guest(host.namespaces, name) for name in ("declared", "other")]
        for guest in guests:
            guest.start()
        entry = '[[guest]]\ndomain = "declared"\n'
        (tmp_path / "h/host.toml.d/guest.toml").write_text(entry)
        host.control("reload")
        host.control("wait", "--state", "running", "declared")
        with ExitStack() as undo:
            logs = [undo.enter_context(console(host, guest)) for guest in guests]
            host.namespaces.signal(host.pid("libvirtd"), "STOP")
            host.control("shutdown", seconds=90)
            assert host.namespaces.wait() == 0
            for log in logs:
                assert "GUEST-POWERS-OFF" in log.read()


def test_a_guest_that_hears_nothing_is_killed_after_its_time(tmp_path: Path) -> None:
    with host_with(tmp_path / "h", guest_timeout="2s") as host:
        firmware(host, "deaf")
        pid = pid_of(host, "deaf")
        with shutting_down(host) as client:
            eventually(lambda: waits(host) == {"deaf": "shutdown"}, "the polite way")
            assert is_alive(host, pid)
            out, err = client.communicate(timeout=SECONDS)
            assert client.returncode == 0, out + err
        assert host.namespaces.wait() == 0
        assert not is_alive(host, pid)


def test_a_guest_may_be_left_and_is_named(tmp_path: Path) -> None:
    with host_with(tmp_path / "h", guest_timeout="1s", guest_overdue="leave") as host:
        firmware(host, "deaf")
        pid = pid_of(host, "deaf")
        done = host.control("shutdown", is_ok=False, seconds=SECONDS)
        text = "guest deaf of libvirtd: it did not end within 1 s"
        assert (done.returncode, done.stderr) == (1, f"left behind: {text}\n")
        eventually(lambda: f"virtsupd: left behind: {text}" in host.namespaces.output, "its name")
        assert is_alive(host, pid)


def test_guests_are_saved_and_one_that_cannot_be_is_asked(tmp_path: Path) -> None:
    with host_with(tmp_path / "h", guest_end="save") as host:
        for name in ("keep", "halted"):
            firmware(host, name, persistent=True)
        firmware(host, "transient")
        pids = [pid_of(host, name) for name in ("keep", "halted")]
        host.virsh("suspend", "halted")
        saved = host.namespaces.root / "var/lib/libvirt/qemu/save"
        with shutting_down(host):
            eventually(lambda: waits(host) == {"transient": "shutdown"}, "the end of the others")
            assert not any(is_alive(host, pid) for pid in pids)
            assert sorted(file.name for file in saved.iterdir()) == ["halted.save", "keep.save"]
            [refusal] = logged(host, "cannot end guest")
            assert "transient domain" in refusal
            # libvirtd stays as long as a guest does: what was saved comes back as it was.
            for name, state in (("keep", "running"), ("halted", "paused")):
                host.virsh("start", name)
                assert host.virsh("domstate", name) == state
            assert list(saved.iterdir()) == []


def test_a_paused_guest_is_saved_where_others_are_asked(tmp_path: Path) -> None:
    with host_with(tmp_path / "h") as host:
        firmware(host, "halted", persistent=True)
        host.virsh("suspend", "halted")
        saved = host.namespaces.root / "var/lib/libvirt/qemu/save"
        directory = os.open(saved, os.O_RDONLY)
        try:
            host.control("shutdown", seconds=SECONDS)
            files = Path(f"/proc/self/fd/{directory}").iterdir()
            assert [file.name for file in files] == ["halted.save"]
        finally:
            os.close(directory)


def test_guests_end_one_after_another_whatever_their_names_are(tmp_path: Path) -> None:
    names = ("2", "--all", "a b", "ünï\"q'$x")
    with host_with(tmp_path / "h", guest_end="kill", guest_parallel=1) as host:
        for name in names:
            firmware(host, name)
        host.control("shutdown", seconds=SECONDS)
        assert host.namespaces.wait() == 0
        turns = ["ends" if "guest ends" in line else "ended"
                 for line in logged(host, "guest ends", "guest has ended")]  # fmt: skip
        assert turns == ["ends", "ended"] * len(names)


def test_a_guest_that_is_booting_ends_politely_though_libvirtd_and_virtsupd_die(
    tmp_path: Path,
) -> None:
    with host_with(tmp_path / "h") as host:
        guest = Guest(host.namespaces)
        guest.define()
        host.virsh("start", guest.name)
        with shutting_down(host) as client:
            eventually(lambda: waits(host) == {guest.name: "shutdown"}, "the first request")
            libvirtd = host.pid("libvirtd")
            host.namespaces.signal(libvirtd, "KILL")
            host.await_replacement("libvirtd", of=libvirtd)
            assert waits(host) == {guest.name: "shutdown"}
            host.namespaces.signal(host.daemon_pid(), "KILL")
            assert client.wait(SECONDS) == 6
        with console(host, guest) as log, successor(host) as program:
            program.wait(BOOT_SECONDS)
            assert "GUEST-POWERS-OFF" in log.read()
        assert logged(host, '"how": "kill"') == []
