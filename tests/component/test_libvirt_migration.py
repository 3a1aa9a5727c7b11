"""A guest that migrates between a host of virtsupd's and another one: it never runs on both."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host
from tests.support.namespaces import Namespaces

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

SECONDS = 60.0
GUEST = """
[libvirt]

[[guest]]
domain = "db"
autostart = false
respawn = { on = "end", delay = 1 }
"""
OTHER_HOST = """
set -e
hostname other
cp -a /var/lib/libvirt/boot {home}/boot
cp -a /etc/libvirt {home}/etc
for directory in /run /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mount -t tmpfs -o mode=755 other $directory
done
cp -a {home}/boot /var/lib/libvirt/boot
mkdir -p /var/log/libvirt/qemu
printf 'stdio_handler = "file"\\ncgroup_controllers = []\\n' >{home}/etc/qemu.conf
mount --bind {home}/etc /etc/libvirt
cat >{home}/libvirtd.conf <<EOF
unix_sock_dir = "{home}"
host_uuid = "12345678-1234-4234-8234-123456789abc"
listen_tls = 0
auth_unix_rw = "none"
EOF
exec libvirtd -f {home}/libvirtd.conf -p /run/libvirtd.pid
"""
HERE = "qemu+unix:///system?socket=/var/run/libvirt/libvirt-sock"


class OtherHost:
    """Another libvirtd, with directories of its own, on the network of the first."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.home = namespaces.shared / "other"
        self.uri = f"qemu+unix:///system?socket={self.home}/libvirt-sock"

    def virsh(self, *arguments: str, is_ok: bool = True) -> str:
        """Run virsh on it."""
        command = ["virsh", "--quiet", "--connect", self.uri, *arguments]
        return self._namespaces.run(*command, is_ok=is_ok, seconds=SECONDS).stdout.strip()

    @contextmanager
    def up(self) -> Iterator[None]:
        """Run it until the end of the context."""
        self.home.mkdir()
        script = self.home / "libvirtd.sh"
        script.write_text(OTHER_HOST.format(home=self.home))
        unshare = ["unshare", "--mount", "--uts", "--propagation", "private", "sh", str(script)]
        with (self.home / "output").open("wb") as output:
            process = subprocess.Popen(
                [*entered(self._namespaces), *unshare], stdout=output, stderr=subprocess.STDOUT
            )
        try:
            eventually(lambda: self.virsh("uri", is_ok=False), "another libvirtd", seconds=SECONDS)
            yield
            self.virsh("destroy", "db", is_ok=False)
        finally:
            process.kill()
            process.wait(SECONDS)


def entered(namespaces: Namespaces) -> list[str]:
    """Return what runs a command inside."""
    target = ["nsenter", "--target", str(namespaces.first)]
    return [*target, "--mount", "--net", "--pid", "--root", "--wd", "--"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    """Give a host on which db is defined, and stopped."""
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        Guest(host.namespaces, "db").define()
        configuration = host.namespaces.shared / "host.toml"
        configuration.write_text(configuration.read_text().removesuffix("[libvirt]\n") + GUEST)
        host.control("reload")
        yield host


@pytest.fixture(scope="module")
def other(host: LibvirtHost) -> Iterator[OtherHost]:
    """Give another host, on which db runs; it has no console, for which there would be no virtlogd."""
    found = OtherHost(host.namespaces)
    definition = host.namespaces.shared / "other-db.xml"
    console = r"<(serial|console)\b.*?</\1>"
    definition.write_text(re.sub(console, "", host.virsh("dumpxml", "db"), flags=re.DOTALL))
    with found.up():
        found.virsh("define", str(definition))
        found.virsh("start", "db")
        yield found


def machines(host: LibvirtHost) -> int:
    """Return how many QEMUs run db."""
    found = host.namespaces.run("pgrep", "--full", "qemu-system.*guest=db", is_ok=False).stdout
    return len(found.split())


def reason(host: LibvirtHost) -> str:
    found = host.status("db")["reason"]
    return str(found["text"]) if found else ""


def migrate_here(other: OtherHost, *options: str) -> list[str]:
    to = ["db", HERE, "--migrateuri", "tcp://127.0.0.1:49200"]
    return ["virsh", "--connect", other.uri, "migrate", "--live", "--unsafe", *options, *to]


def test_a_guest_whose_migration_is_cancelled_is_not_booted_here(
    host: LibvirtHost, other: OtherHost
) -> None:
    """On both hosts it would destroy its disks."""
    slow = [*entered(host.namespaces), *migrate_here(other, "--bandwidth", "1")]
    with (
        ThreadPoolExecutor() as threads,
        subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as migration,
    ):
        eventually(lambda: host.virsh("domstate", "db") == "paused", "db on its way")
        start = threads.submit(host.control, "start", "db", is_ok=False, seconds=SECONDS)
        eventually(lambda: "another host" in reason(host), "a start that waits")
        assert (host.status("db")["state"], machines(host)) == ("starting", 2)
        other.virsh("domjobabort", "db")
        assert migration.wait(SECONDS) != 0
        answer = start.result()
    assert answer.returncode != 0
    assert "does not run here" in answer.stderr + answer.stdout
    assert (host.virsh("domstate", "db"), other.virsh("domstate", "db")) == ("shut off", "running")
    assert (host.status("db")["state"], machines(host)) == ("stopped", 1)
    host.control("reexec")
    host.await_running("libvirtd")
    assert (host.status("db")["state"], machines(host)) == ("stopped", 1)


def test_a_guest_is_supervised_where_it_runs(host: LibvirtHost, other: OtherHost) -> None:
    host.control("stop", "db")
    host.namespaces.run(*migrate_here(other), seconds=SECONDS)
    eventually(lambda: host.status("db")["state"] == "running", "db here", seconds=SECONDS)
    assert host.status("db")["wanted"] is True
    assert (other.virsh("domstate", "db"), machines(host)) == ("shut off", 1)
    away = ["migrate", "--live", "--unsafe", "db", other.uri]
    host.virsh(*away, "--migrateuri", "tcp://127.0.0.1:49201", seconds=SECONDS)
    eventually(lambda: host.status("db")["state"] == "stopped", "db elsewhere", seconds=SECONDS)
    assert reason(host) == "was migrated to another host"
    configuration = host.namespaces.shared / "host.toml"
    configuration.write_text(configuration.read_text() + 'description = "moved"\n')
    host.control("reload")
    assert (host.status("db")["state"], machines(host)) == ("stopped", 1)
    assert other.virsh("domstate", "db") == "running"
