"""`[[build_vm]]` makes a machine whose clock and processors are of an older date."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.machine import SecretsSpec
from virtsupd.core.names import Name

PLAIN = '[[build_vm]]\nimage = "/srv/build,1.img"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def command(folder: Folder, text: str, name: str = "build-vm") -> list[str]:
    spec = folder.service(text, name)
    assert spec.process is not None
    return list(spec.process.command)


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_an_image_is_enough(folder: Folder) -> None:
    given = command(folder, PLAIN)
    assert given[:5] == ["qemu-system-x86_64", "-m", "2048", "-smp", "4"]
    assert after(given, "-cpu") == "Skylake-Client"
    assert after(given, "-rtc") == "base=2020-01-01T00:00:00"
    assert after(given, "--drive") == "file=/srv/build,,1.img,if=virtio"
    forwards = "hostfwd=tcp:127.0.0.1:11022-:22,hostfwd=tcp:127.0.0.1:11044-:1004"
    assert after(given, "--netdev") == f"user,id=net0,{forwards}"


def test_what_it_is_for_the_graph(folder: Folder) -> None:
    vm = folder.service(PLAIN, "build-vm")
    assert vm.process is not None
    assert vm.process.machine is not None
    assert (vm.autostart, vm.is_guest) == (False, True)
    assert (vm.process.user, vm.process.group) == ("build-vm", "kvm")
    root = "/etc/guix/virtual-build-machines/build-vm"
    assert vm.process.machine.secrets == SecretsSpec(11044, root)
    assert vm.process.machine.ssh_port == 11022


@pytest.mark.parametrize(
    ("date", "cpu", "clock"),
    [
        ("2012-05-01T12:00:00+02:00", "IvyBridge", "2012-05-01T10:00:00"),
        ("2009-12-31", "Nehalem", "2009-12-31T00:00:00"),
        ("1999-01-01T00:00:00", "core2duo", "1999-01-01T00:00:00"),
    ],
)
def test_its_processors_are_no_newer_than_its_date(
    folder: Folder, date: str, cpu: str, clock: str
) -> None:
    given = command(folder, f"{PLAIN}date = {date}\n")
    assert (after(given, "-cpu"), after(given, "-rtc")) == (cpu, f"base={clock}")


def test_its_image_and_its_secrets_are_seen_to_before_it_starts(folder: Folder) -> None:
    url = 'image = "https://example.org/b.qcow2"\nchecksum = "sha256:' + "0" * 64 + '"\n'
    loaded = folder.load(f"[[build_vm]]\n{url}")
    vm = loaded.graph.spec_by_name[Name("build-vm")]
    assert {"build-vm-prepare", "build-vm-image", "loopback"} <= set(vm.requires)
    assert vm.process is not None
    disk = after(list(vm.process.command), "--drive")
    assert disk.startswith(f"file={loaded.host.state_dir}/images/b-0000")
    assert {"image-info", "image-fetch", "configuration"} <= {a.name for a in vm.actions}
    told = {file.path.name: file.content for file in loaded.generated}
    root = "/etc/guix/virtual-build-machines/build-vm"
    assert f'secret_root = "{root}"' in told["build-vm-prepare.conf"]
    assert 'user = "build-vm"' in told["build-vm-prepare.conf"]


def test_what_guix_builds_has_the_type_and_the_size_that_a_build_machine_has(
    folder: Folder,
) -> None:
    loaded = folder.load('[[build_vm]]\nos = "/etc/build.scm"\n')
    [told] = [file.content for file in loaded.generated if file.path.name == "build-vm-image.conf"]
    assert 'image_type = "qcow2"' in told
    assert f"size_bytes = {20 << 30}" in told


def test_what_it_writes_is_lost_unless_it_is_stateful(folder: Folder) -> None:
    assert "--snapshot" in command(folder, PLAIN)
    assert "--snapshot" not in command(folder, f"{PLAIN}stateful = true\n")
    given = command(folder, f'{PLAIN}options = ["--snapshot", "-k", "de"]\n')
    assert after(given, "-k") == "de"


def test_without_secrets_the_guest_is_sent_none(folder: Folder) -> None:
    vm = folder.service(f'{PLAIN}secret_root = false\nuser = "somebody"\n', "build-vm")
    assert vm.process is not None
    assert vm.process.machine is not None
    assert vm.process.machine.secrets == SecretsSpec(11044, None)
    assert vm.process.user == "somebody"


def test_processors_that_are_said_are_taken(folder: Folder) -> None:
    assert after(command(folder, f'{PLAIN}cpu = "host"\n'), "-cpu") == "host"


def test_another_name_is_another_account(folder: Folder) -> None:
    text = f'{PLAIN}name = "old"\nport_forwardings = {{ "12022" = 22 }}\n'
    vm = folder.service(text, "old")
    assert vm.process is not None
    assert vm.process.machine is not None
    assert vm.process.user == "build-vm-old"
    assert vm.process.machine.secrets is None
    needed = f'{text}[service.web]\ncommand = ["x"]\nrequires = ["old-ssh"]\n'
    assert Name("old-ssh") in folder.load(needed).graph.spec_by_name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('port_forwardings = { "70000" = 22 }', "must be a port"),
        ('name = "Old"', "it names an account too"),
        ('agent = false\nready_at = "agent"', "this machine never reaches"),
        ('checksum = "sha256:00"', "goes with an image that is a URL"),
        ("stateful = true\noptions = ['--snapshot']", "has --snapshot"),
        ("systems = []", "is empty"),
    ],
)
def test_what_is_wrong_is_said(folder: Folder, text: str, said: str) -> None:
    assert said in "\n".join(folder.problems(f"{PLAIN}{text}\n"))
