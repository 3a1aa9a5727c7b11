"""A build machine with nothing said but its image: account, keys, the offer to Guix, and its end."""

import hashlib
import json
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import host
from tests.support.stand_in import (
    StandIn,
    await_ready,
    command_line,
    image,
    last_exit,
    network,
    rungs,
    unit,
)

from virtsupd.machine.signing_key import signing_pair

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

NAME, SSH_PORT = "build-vm", 11022
OFFLOAD_KEY = f"offload/ssh/virtual-build-machine/{NAME}"
TABLE = """
[[build_vm]]
image = "%s"
kvm = false
date = 2013-05-04
memory_size = 512
"""
OWN_ETC = 'mount --bind "$0" /etc && exec "$@"'
FOREIGN = '(list (build-machine (name "elsewhere")))\n'


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Give a copy of /etc with what a host's Guix has there: accounts are made in the copy."""
    copy = tmp_path / "etc"
    shutil.copytree("/etc", copy, symlinks=True, ignore=shutil.ignore_patterns("guix"))
    (copy / "guix").mkdir(mode=0o755)
    (copy / "guix/signing-key.pub").write_text(signing_pair()[0])
    (copy / "guix/machines.scm").write_text(FOREIGN)
    return copy


@contextmanager
def build_machine(etc: Path) -> Iterator[StandIn]:
    """Yield a host file with one build machine, for a virtsupd whose /etc is that copy."""
    with network() as net:
        prefix = (*net.prefix, "unshare", "--mount", "--", "sh", "-c", OWN_ETC, str(etc))
        with host("", settings='networking = "assume"', prefix=prefix) as made:
            made.write(TABLE % image())
            yield StandIn(made, net)


def secrets_of(guix: Path) -> Path:
    """Return the directory of the machine's secrets."""
    return guix / f"virtual-build-machines/{NAME}"


def q_of(key: Path) -> str:
    """Return what tells one signing key from another."""
    return text_of(key).split("(q #")[1].split("#")[0]


def account_of(etc: Path) -> int:
    """Return the number of the account that was made."""
    [line] = [line for line in text_of(etc / "passwd").splitlines() if line.startswith(NAME)]
    return int(line.split(":")[2])


def assert_offered(guix: Path) -> None:
    """Look into the files of the host's Guix for the machine and its key."""
    secrets, machines = secrets_of(guix), text_of(guix / "machines.scm")
    private_key = guix / OFFLOAD_KEY
    host_key = text_of(secrets / "etc/ssh/ssh_host_ed25519_key.pub").split()
    for part in (
        f"(port {SSH_PORT})",
        '(systems \'("x86_64-linux"))',
        '(user "offloading")',
        " ".join(host_key[:2]),
        f'(private-key "/etc/guix/{OFFLOAD_KEY}")',
        '"elsewhere"',
    ):
        assert part in machines
    assert stat.S_IMODE(private_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert q_of(secrets / "etc/guix/signing-key.pub") in text_of(guix / "acl")


def assert_lets_in(guest: StandIn, guix: Path) -> None:
    """Ask the guest whose key it lets in, and whose builds it takes."""
    allowed = guest.ssh_to_any("cat /etc/ssh/authorized_keys.d/offloading", port=SSH_PORT)
    assert allowed == text_of(guix / f"{OFFLOAD_KEY}.pub")
    accepted = guest.ssh_to_any("cat /etc/guix/acl", port=SSH_PORT)
    assert q_of(guix / "signing-key.pub") in accepted


def test_an_image_is_enough_for_guix_to_build_in_it_while_it_is_up(etc: Path) -> None:
    guix = etc / "guix"
    with build_machine(etc) as guest, guest.host.started() as daemon:
        assert daemon.state(NAME) == "stopped"
        assert not secrets_of(guix).exists(), "made for a machine that nobody wants"
        daemon.ctl("--timeout", "1s", "start", NAME, expect=None)
        pid = await_ready(daemon, NAME)
        assert Path(f"/proc/{pid}").stat().st_uid == account_of(etc) != 0
        assert rungs(guest.host, NAME) >= {"rung-monitor", "rung-secrets", "rung-ssh"}

        eventually(lambda: daemon.state(f"{NAME}-offloading") == "running", "the offer")
        assert_offered(guix)
        assert_lets_in(guest, guix)
        clock = guest.ssh_to_any("busybox date +%Y-%m-%d", port=SSH_PORT)
        assert clock == "2013-05-04\n"
        told = json.loads(daemon.ctl("configuration", NAME, "--json").stdout)
        assert (told["cpu"], told["date"]) == ("Haswell", "2013-05-04T00:00:00Z")

        daemon.ctl("stop", NAME)
        assert last_exit(daemon, NAME).startswith("powered off by its guest agent, ")
        assert text_of(guix / "machines.scm") == FOREIGN
        assert q_of(secrets_of(guix) / "etc/guix/signing-key.pub") not in text_of(guix / "acl")


def disk(path: Path, content: bytes) -> str:
    """Make a disk whose boot sector halts, and return the lines of a table that has it fetched."""
    with path.open("wb") as file:
        file.write(b"\xfa\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa" + content)
        file.truncate(4 << 20)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'image = "file://{path}"\nchecksum = "sha256:{digest}"\n'


def test_after_another_checksum_a_restart_of_the_machine_fetches_and_starts() -> None:
    rest = 'kvm = false\nuser = "nobody"\nsecret_root = false\nready_at = "monitor"\nautostart = true\n'
    with network() as net, host("", settings='networking = "assume"', prefix=net.prefix) as made:
        quits = unit('stop = { steps = [{ how = "quit", time = "5s" }] }', name=NAME)
        table = f"{quits}[[build_vm]]\n{rest}"
        made.write(table + disk(made.root / "a.img", b"one"))
        with made.started() as daemon:
            pid = await_ready(daemon, NAME)
            [first] = (made.root / "state/images").glob("a-*.img")
            assert f"file={first}" in " ".join(command_line(pid))
            made.write(table + disk(made.root / "a.img", b"two"))
            daemon.ctl("reload")
            assert daemon.status(NAME)["pid"] == pid
            daemon.ctl("restart", NAME)
            again = await_ready(daemon, NAME)
            [second] = set((made.root / "state/images").glob("a-*.img")) - {first}
            assert f"file={second}" in " ".join(command_line(again))
            assert second.read_bytes() == (made.root / "a.img").read_bytes()
