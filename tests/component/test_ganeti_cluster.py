"""Real Ganeti clusters whose daemons virtsupd runs: one node, and three."""

import json
import re
import sys
from collections.abc import Iterator

import pytest
from tests.support.checks import eventually
from tests.support.ganeti_lab import OF_ALL, OF_MASTER, Lab, lab
from tests.support.stand_in import image

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

NODE = "node1"
VERIFY = ("gnt-cluster", "verify", "--ignore-errors=ENODESETUP")
INIT = [
    "gnt-cluster",
    "init",
    "--enabled-hypervisors=fake",
    "--enabled-disk-templates=diskless",
    "--no-etc-hosts",
    "--master-netdev=eth0",
    "--nic-parameters=mode=routed,link=main",
    "cluster.ganeti.lab",
]
RESPAWN_SECONDS = 15.0


@pytest.fixture(scope="module")
def one() -> Iterator[Lab]:
    """A cluster of one node, which each test leaves whole."""
    with lab(1) as made:
        yield made


def is_whole(made: Lab, node: str = NODE) -> None:
    """The master works, and nothing of it runs beside virtsupd."""
    made.await_all(node, *OF_ALL, *OF_MASTER)
    # What noded has forked for a request outlives it for the moment that the request takes.
    eventually(lambda: not made.strays(node), "that nothing else of Ganeti runs")
    made.on(node, "gnt-node", "list")


def test_the_first_node_runs_all_that_belongs_on_a_master(one: Lab) -> None:
    is_whole(one)
    found = one.services(NODE)
    assert found["ganeti"]["status_text"] == "master of cluster.ganeti.lab"
    assert found["ganeti"]["warnings"] == []
    assert found["ganeti-kvmd"]["reason"]["kind"] == "not-needed"
    assert found["ganeti-metad"]["state"] == "stopped"
    for name in ("ganeti-watcher", "ganeti-cleaner-master", "ganeti-cleaner-node"):
        assert found[name]["timer"]["fires_at"] is not None


@pytest.mark.parametrize("name", [*OF_ALL, *OF_MASTER])
def test_a_daemon_that_is_killed_comes_back(one: Lab, name: str) -> None:
    before = one.pid(NODE, name)
    one.on(NODE, "kill", "-9", str(before))

    def is_back() -> bool:
        found = one.service(NODE, name)
        return found["state"] == "running" and found["pid"] not in (None, before)

    eventually(is_back, f"another {name}", seconds=RESPAWN_SECONDS)
    is_whole(one)


def test_a_daemon_that_waits_for_its_file_holds_up_no_other(one: Lab) -> None:
    one.on(NODE, "mv", "/var/lib/ganeti/rapi.pem", "/root")
    pids = [str(one.pid(NODE, name)) for name in ("ganeti-rapi", "ganeti-luxid")]
    one.on(NODE, "kill", "-9", *pids)
    eventually(lambda: one.service(NODE, "ganeti-rapi")["state"] == "stopped", "rapi's wait")
    one.await_all(NODE, "ganeti-luxid")
    assert one.pid(NODE, "ganeti-luxid") != int(pids[1])
    one.on(NODE, "gnt-node", "list")
    one.on(NODE, "mv", "/root/rapi.pem", "/var/lib/ganeti")
    is_whole(one)


def test_all_daemons_outlive_virtsupd(one: Lab) -> None:
    names = (*OF_ALL, *OF_MASTER)
    before = {name: one.pid(NODE, name) for name in names}
    one.crash_virtsupd(NODE)
    one.await_all(NODE, *names)
    assert {name: one.pid(NODE, name) for name in names} == before
    is_whole(one)


def test_the_watcher_starts_what_was_stopped_and_nothing_beside_virtsupd(one: Lab) -> None:
    one.on(NODE, "virtsupctl", "stop", "ganeti-confd")
    one.on(NODE, "virtsupctl", "trigger", "ganeti-watcher")
    one.await_all(NODE, "ganeti-confd")
    eventually(lambda: one.service(NODE, "ganeti-watcher")["timer"]["runs"], "its end", seconds=30)
    [run, *_] = one.service(NODE, "ganeti-watcher")["timer"]["runs"]
    assert run["code"] == 0
    is_whole(one)


def test_daemons_that_answer_are_well_and_one_that_hangs_is_started_again(one: Lab) -> None:
    asked = ("noded", "mond", "wconfd", "luxid")
    keys = "".join(f"[ganeti.{short}]\nhealth = true\n" for short in asked)
    often = '[service.ganeti-luxid.health]\ninterval = "1s"\ntimeout = "2s"\nfailures = 2\n'
    often += '[service.ganeti-luxid.stop]\ndelay = "1s"\nmode = "process"\n'
    write = 'mkdir -p /etc/virtsupd/host.toml.d; printf "%s" "$0" > /etc/virtsupd/host.toml.d/health.toml'
    one.on(NODE, "sh", "-c", write, keys + often)
    one.on(NODE, "virtsupctl", "reload")
    for words in (("confd", "1814"), ("rapi", "5080")):
        command = f"{sys.executable} -m virtsupd.ganeti.health {words[0]} 127.0.0.1 {words[1]}"
        assert one.on(NODE, *command.split()) == ""
    before = one.pid(NODE, "ganeti-luxid")
    one.on(NODE, "kill", "-STOP", str(before))
    eventually(
        lambda: one.service(NODE, "ganeti-luxid")["pid"] not in (None, before),
        "another luxid",
        seconds=60,
    )
    last = one.service(NODE, "ganeti-luxid")
    assert last["restarts"] >= 1
    one.on(NODE, "rm", "/etc/virtsupd/host.toml.d/health.toml")
    one.on(NODE, "virtsupctl", "reload")
    is_whole(one)


def test_a_job_goes_on_while_luxid_restarts(one: Lab) -> None:
    one.on(NODE, "gnt-debug", "delay", "--submit", "6")
    job = jobs(one).splitlines()[-1].split()[0]
    eventually(lambda: f"{job} running" in jobs(one), "the job", seconds=20)
    one.on(NODE, "virtsupctl", "restart", "ganeti-luxid")
    assert "error" not in jobs(one)
    eventually(lambda: f"{job} success" in jobs(one), "its good end", seconds=60)


def jobs(made: Lab) -> str:
    return made.on(
        NODE, "gnt-job", "list", "--no-headers", "--separator= ", "-o", "id,status", expect=None
    )


def test_luxid_started_before_noded_gets_its_lock(one: Lab) -> None:
    one.on(NODE, "virtsupctl", "stop", "ganeti-luxid")
    one.on(NODE, "virtsupctl", "stop", "ganeti-noded")
    one.shell(NODE, "virtsupctl start ganeti-luxid & virtsupctl start ganeti-noded; wait")
    is_whole(one)


def test_new_certificates_are_made_with_all_daemons_stopped_and_started(one: Lab) -> None:
    before = one.pid(NODE, "ganeti-noded")
    words = (
        "gnt-cluster",
        "renew-crypto",
        "-f",
        "--new-cluster-certificate",
        "--new-rapi-certificate",
    )
    one.on(NODE, *words)
    is_whole(one)
    assert one.pid(NODE, "ganeti-noded") != before
    one.on(NODE, *VERIFY)


def test_an_instance_outlives_every_daemon_and_virtsupd_and_ends_with_the_host(one: Lab) -> None:
    provide(one, guest_seconds=3)
    add_instance(one, megabytes=16)
    qemu = instance_pid(one)
    assert one.shell(NODE, "cat /tmp/os-variant").strip() == "foo"
    one.on(NODE, "virtsupctl", "stop", "ganeti")
    assert one.strays(NODE) == []
    assert instance_pid(one) == qemu
    one.on(NODE, "virtsupctl", "start", "ganeti")
    one.crash_virtsupd(NODE)
    is_whole(one)
    assert instance_pid(one) == qemu
    told = shut_down(one)
    found, asked, *_, ended = (place for place, line in enumerate(told) if "web.ganeti.lab" in line)
    assert '"how": "shutdown"' in told[asked], "it is asked before it is killed: it has no system"
    assert not [line for line in told[found:ended] if "service stopped" in line]
    watched = next(place for place, line in enumerate(told) if is_end(line, "ganeti-watcher"))
    assert watched < found, "a watcher under way could start it again"
    assert [line for line in told[ended:] if is_end(line, "ganeti-noded")]
    assert one.shell(NODE, f"test -e /proc/{qemu}; echo $?").strip() == "1"
    is_whole(one)
    one.on(NODE, "gnt-instance", "remove", "-f", "--shutdown-timeout=0", "web.ganeti.lab")


def test_an_instance_with_a_system_powers_itself_off_at_the_end_of_the_host(one: Lab) -> None:
    provide(one, guest_seconds=120)
    one.on(NODE, "cp", str(image()), "/root/image")
    add_instance(one, megabytes=48)
    told = [line for line in shut_down(one) if "web.ganeti.lab" in line]
    assert "guest has ended" in told[-1]
    assert not [line for line in told if "killed" in line], told
    is_whole(one)
    one.on(NODE, "gnt-instance", "remove", "-f", "--shutdown-timeout=0", "web.ganeti.lab")


def add_instance(made: Lab, *, megabytes: int) -> None:
    words = "gnt-instance add --ignore-ipolicy -t file -o custom+foo -H kvm -n node1.ganeti.lab"
    size = ("-B", "memory=128M,vcpus=1", "--disk", f"0:size={megabytes}M")
    made.on(NODE, *words.split(), *size, *QUIET, "web.ganeti.lab")


def shut_down(made: Lab) -> list[str]:
    """Shut the host down while the watcher runs, and return what was told until it has booted again."""
    before = made.virtsupd(NODE)
    said = len(made.on(NODE, "cat", "/run/virtsupd.log").splitlines())
    made.shell(NODE, "virtsupctl trigger ganeti-watcher && virtsupctl shutdown")
    eventually(lambda: made.virtsupd(NODE) not in (None, before), "the next boot", seconds=60)
    return made.on(NODE, "cat", "/run/virtsupd.log").splitlines()[said:]


def is_end(line: str, name: str) -> bool:
    return f'"{name}"' in line and "service stopped" in line


QUIET = ("--no-nics", "--no-ip-check", "--no-name-check")
PROVIDER = """
set -e
mkdir -p /usr/share/ganeti/os/custom && cd /usr/share/ganeti/os/custom
printf '20\\n15\\n10\\n' > ganeti_api_version
cat > create <<'END'
#!/bin/sh
echo "$OS_VARIANT" > /tmp/os-variant
test ! -e /root/image || cat /root/image > "$DISK_0_PATH"
END
for name in import export rename verify; do printf '#!/bin/sh\\n' > $name; done
: > parameters.list
chmod 755 create import export rename verify
ln -sf /etc/ganeti/instance-custom/variants.list variants.list
mkdir -p /etc/virtsupd/host.toml.d
cat > /etc/virtsupd/host.toml.d/os.toml <<END
[host]
guest_timeout = "@SECONDS@s"
[[ganeti.os]]
name = "custom"
variants = [{ name = "foo", configuration = "this is fine" }]
END
virtsupctl reload
virtsupctl restart ganeti-configuration
"""


def provide(made: Lab, *, guest_seconds: int) -> None:
    """Put an OS provider there, and its variant by the configuration; guests have so much time to end."""
    made.shell(NODE, PROVIDER.replace("@SECONDS@", str(guest_seconds)))
    assert "custom+foo" in made.on(NODE, "gnt-os", "list", "--no-headers").split()


def instance_pid(made: Lab) -> int:
    return int(made.on(NODE, "cat", "/var/run/ganeti/kvm-hypervisor/pid/web.ganeti.lab"))


def test_a_cluster_is_destroyed_and_made_again(one: Lab) -> None:
    one.on(NODE, "gnt-cluster", "destroy", "--yes-do-it")
    eventually(
        lambda: one.service(NODE, "ganeti-noded")["state"] == "stopped",
        "noded's own end",
        seconds=30,
    )
    found = one.services(NODE)
    assert found["ganeti"]["status_text"] == "in no cluster"
    assert not any(found[name]["failed"] for name in (*OF_ALL, *OF_MASTER))
    assert one.shell(NODE, "pgrep -c 'ganeti-' || true").strip() == "0"
    tried = one.shell(NODE, "/usr/lib/ganeti/daemon-util start-all 2>&1", expect=1)
    assert "waits for ganeti-certificate" in tried
    found = one.services(NODE)
    assert all(found[name]["state"] == "stopped" for name in (*OF_ALL, *OF_MASTER))
    assert not any(found[name]["failed"] for name in (*OF_ALL, *OF_MASTER))
    one.on(NODE, *INIT)
    is_whole(one)


@pytest.mark.timeout(600)  # a vote takes a minute
def test_three_nodes_and_masters_that_come_and_go() -> None:
    with lab(3) as made:
        for node in ("node2", "node3"):
            made.await_all(node, *OF_ALL)
            why = made.on(node, "virtsupctl", "why", "ganeti-luxid")
            assert "not the master; node1.ganeti.lab is" in why
        tell_apart(made)
        fail_over(made)
        lose_the_master(made)


def tell_apart(made: Lab) -> None:
    """What has to be equal on all nodes is, until it is not."""
    assert "alike in all" in made.on(NODE, "virtsupctl", "check", "ganeti")
    made.shell(
        "node3",
        "cp /etc/ganeti/file-storage-paths /tmp/kept; echo /srv/x >> /etc/ganeti/file-storage-paths",
    )
    [line] = made.on(NODE, "virtsupctl", "check", "ganeti", expect=1).splitlines()
    assert line.startswith("/etc/ganeti/file-storage-paths: ")
    assert line.endswith(" on node3.ganeti.lab")
    made.shell("node3", "cat /tmp/kept > /etc/ganeti/file-storage-paths")


def fail_over(made: Lab) -> None:
    """node2 becomes master while all is well."""
    made.on("node2", "gnt-cluster", "master-failover")
    made.await_all("node2", *OF_ALL, *OF_MASTER)
    assert roles(made) == {
        "node1": "master candidate",
        "node2": "master",
        "node3": "master candidate",
    }
    for node in ("node1", "node2", "node3"):
        assert made.strays(node) == []
    assert made.master_daemons("node1") == []
    is_argv_clean(made, "node2")
    made.on("node2", *VERIFY)
    words = "gnt-instance add --ignore-ipolicy -t diskless -o noop -H fake -B memory=64M,vcpus=1 -n node3"
    made.on(
        "node2", *words.replace("node3", "node3.ganeti.lab").split(), *QUIET, "small.ganeti.lab"
    )
    made.on("node2", "gnt-instance", "migrate", "-f", "-n", "node1.ganeti.lab", "small.ganeti.lab")


def lose_the_master(made: Lab) -> None:
    """node2 loses its power, node3 takes over, and node2 comes back as any other."""
    made.do("kill", "node2")
    made.on("node3", "gnt-cluster", "master-failover")
    made.await_all("node3", *OF_ALL, *OF_MASTER)
    is_argv_clean(made, "node3")
    made.on("node3", "gnt-node", "modify", "--offline=yes", "node2.ganeti.lab")
    made.do("start", "node2")
    eventually(
        lambda: made.on("node2", "virtsupctl", "status", "ganeti-noded", expect=None).count(
            "running since"
        ),
        "noded of the node that came back",
        seconds=60,
    )
    made.on("node3", "gnt-node", "list")

    eventually(
        lambda: made.service("node2", "ganeti-wconfd")["last_exit"],
        "that it has found out who is master",
        seconds=200,
    )
    assert made.strays("node2") == []
    # rapi alone asks nobody: it believes the files of its node, which is offline and so not told.
    writers = [name for name in OF_MASTER if name != "ganeti-rapi"]
    assert not [name for name in writers if made.service("node2", name)["state"] == "running"]


def roles(made: Lab) -> dict[str, str]:
    nodes = ("node1", "node2", "node3")
    texts = {node: str(made.service(node, "ganeti")["status_text"]) for node in nodes}
    return {node: re.split(" of ", text)[0] for node, text in texts.items()}


def is_argv_clean(made: Lab, node: str) -> None:
    """What a failover needs for one run is gone with that run."""
    daemons = made.master_daemons(node)
    assert len(daemons) == 2
    assert not [line for line in daemons if "voting" in line or "force" in line]
    assert json.loads(made.on(node, "virtsupctl", "--json", "status", "ganeti-wconfd"))
