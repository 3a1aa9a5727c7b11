"""`[hurd_vm]` makes a machine, and a condition for each of its rungs."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.machine import (
    MachineSpec,
    MachineStopHow,
    Rung,
    RungSpec,
    SecretsSpec,
    StopStep,
)
from virtsupd.core.names import Name
from virtsupd.core.spec import MachineProbe, PathProbe, Respawn, ServiceSpec

HURD = '[hurd_vm]\nimage = "/srv/hurd.img"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def command(spec: ServiceSpec) -> list[str]:
    assert spec.process is not None
    return list(spec.process.command)


def machine(spec: ServiceSpec) -> MachineSpec:
    assert spec.process is not None
    assert spec.process.machine is not None
    return spec.process.machine


def test_the_command_line_begins_as_the_specification_has_it(folder: Folder) -> None:
    forwards = (
        "user,id=net0,hostfwd=tcp:127.0.0.1:11004-:1004,hostfwd=tcp:127.0.0.1:10022-:2222,"
        "hostfwd=tcp:127.0.0.1:15900-:5900"
    )
    given = command(folder.service(HURD, "hurd-vm"))
    assert given[:11] == [
        "qemu-system-i386", "-m", "512", "--device", "rtl8139,netdev=net0", "--netdev", forwards,
        "--snapshot", "--hda", "/srv/hurd.img", "--no-reboot",
    ]  # fmt: skip
    assert given[-2:] == ["-vnc", "127.0.0.1:0"]
    assert "--enable-kvm" not in given, "that is decided at each start"


def test_its_image_is_seen_to_before_it_starts(folder: Folder) -> None:
    url = 'image = "https://example.org/hurd.qcow2"\nchecksum = "sha256:' + "0" * 64 + '"\n'
    loaded = folder.load(f"[hurd_vm]\n{url}")
    hurd = loaded.graph.spec_by_name[Name("hurd-vm")]
    image = loaded.graph.spec_by_name[Name("hurd-vm-image")]
    assert {"hurd-vm-prepare", "hurd-vm-image"} <= set(hurd.requires)
    assert "hurd-vm-prepare" in image.requires, "it looks with the account's eyes"
    assert (image.one_shot, image.provides) == (True, ("hurd-vm-image", "childhurd-image"))
    disk = command(hurd)[command(hurd).index("--hda") + 1]
    assert disk.startswith(f"{loaded.host.state_dir}/images/hurd-0000")
    assert {"image-info", "image-fetch"} <= {action.name for action in hurd.actions}


def test_what_the_service_is_for_the_graph(folder: Folder) -> None:
    hurd = folder.service(HURD, "hurd-vm")
    assert hurd.provides == ("hurd-vm", "childhurd")
    assert set(hurd.requires) >= {"loopback", "networking", "user-processes"}
    assert hurd.is_guest
    assert hurd.process is not None
    assert (hurd.process.user, hurd.process.group) == ("childhurd", "kvm")
    assert hurd.process.environment == (("TMPDIR", "/tmp"),)
    assert hurd.respawn == Respawn(1.0, window_seconds=600.0, only_failures=True)
    assert [step.how for step in hurd.stop.steps] == list(MachineStopHow)
    assert hurd.stop.steps[0] == StopStep(MachineStopHow.AGENT, 30.0)
    assert hurd.stop.delay_seconds == 80.0


def test_its_ladder_ends_at_ssh_and_waits_for_no_agent(folder: Folder) -> None:
    hurd = folder.service(HURD, "hurd-vm")
    assert hurd.ready.probe == MachineProbe(
        (
            RungSpec(Rung.MONITOR, 30.0),
            RungSpec(Rung.SECRETS, 300.0),
            RungSpec(Rung.AGENT, 300.0, counts=False),
            RungSpec(Rung.SSH, 300.0),
        )
    )
    assert machine(hurd).secrets == SecretsSpec(11004, "/etc/childhurd")
    assert machine(hurd).ssh_port == 10022
    assert machine(hurd).ports == (11004, 10022, 15900, 5900)


@pytest.mark.parametrize(
    ("text", "counting"),
    [
        ('ready_at = "monitor"', [Rung.MONITOR]),
        ('ready_at = "secrets"', [Rung.MONITOR, Rung.SECRETS]),
        ('ready_at = "agent"', [Rung.MONITOR, Rung.SECRETS, Rung.AGENT]),
        ('net_options = ["--nic", "none"]', [Rung.MONITOR]),
        (
            'net_options = ["--netdev", "user,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]',
            [Rung.MONITOR, Rung.SSH],
        ),
    ],
)
def test_it_is_running_where_its_table_says(
    folder: Folder, text: str, counting: list[Rung]
) -> None:
    probe = folder.service(f"{HURD}{text}\n", "hurd-vm").ready.probe
    assert isinstance(probe, MachineProbe)
    assert [spec.rung for spec in probe.rungs if spec.counts] == counting


def test_others_may_wait_for_a_rung(folder: Folder) -> None:
    loaded = folder.load(f'{HURD}[service.web]\ncommand = ["x"]\nrequires = ["childhurd-ssh"]\n')
    [ssh] = [spec for spec in loaded.specs if "childhurd-ssh" in spec.provides]
    assert ssh.provides == ("hurd-vm-ssh", "childhurd-ssh")
    assert ssh.binds_to == ("hurd-vm",)
    assert ssh.ready.probe == PathProbe(f"{loaded.host.run_dir}/machines/hurd-vm/rung-ssh")
    assert not ssh.autostart


def test_several_machines_differ_by_their_number(folder: Folder) -> None:
    two = '[[hurd_vm]]\nimage = "/a.img"\n[[hurd_vm]]\nid = 2\nimage = "/b.img"\n'
    loaded = folder.load(two)
    second = loaded.graph.spec_by_name[Name("hurd-vm2")]
    assert second.provides == ("hurd-vm2", "childhurd2")
    assert machine(second).ports == (13004, 12022, 17900, 5902)
    assert machine(second).directory.endswith("/machines/hurd-vm2")
    assert not {"hurd-vm-ssh", "hurd-vm2-ssh"} & set(loaded.graph.spec_by_name), "nobody needs them"


def test_a_drop_in_changes_the_machine_of_its_number(folder: Folder) -> None:
    more = '[hurd_vm]\nmemory_size = 2048\n[[build_vm]]\nimage = "/b.img"\n'
    folder.write("host.toml.d/more.toml", more)
    assert command(folder.service(HURD, "hurd-vm"))[2] == "2048"


def test_placeholders_stand_for_ports(folder: Folder) -> None:
    text = (
        '[hurd_vm]\nid = 3\nimage = "/a.img"\nnet_options = ["x{id}:{vnc_port},{guest_ssh_port}"]'
    )
    assert "x3:18900,2222" in command(folder.service(text, "hurd-vm3"))


def test_a_stateful_machine_writes_its_image(folder: Folder) -> None:
    given = command(folder.service(f"{HURD}stateful = true\n", "hurd-vm"))
    assert "--snapshot" not in given


def test_without_agent_and_display_there_are_none(folder: Folder) -> None:
    hurd = folder.service(f"{HURD}agent = false\nvnc = false\n", "hurd-vm")
    assert machine(hurd).agent is None
    assert hurd.stop.steps[0].how is MachineStopHow.POWERDOWN
    assert command(hurd)[-2:] == ["-display", "none"]
    assert "virtio-serial" not in command(hurd)


def test_a_64_bit_hurd_has_a_64_bit_qemu(folder: Folder) -> None:
    given = command(folder.service(f'{HURD}type = "hurd64-qcow2"\n', "hurd-vm"))
    assert given[0] == "qemu-system-x86_64"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hurd_vm]\n", "image is missing: set it to the path of a disk image"),
        ('[hurd_vm]\nimage = "hurd.img"\n', "a path begins with /"),
        ('[hurd_vm]\nimage = "https://x/y"\n', "an image from a URL needs checksum"),
        (f'{HURD}checksum = "sha256:00"\n', "goes with an image that is a URL"),
        (f'{HURD}os = "/os.scm"\n', "goes without image"),
        (f'{HURD}stateful = true\noptions = ["--snapshot"]\n', "options has --snapshot"),
        (f'{HURD}net_options = ["{{shh_port}}"]\n', "stands for nothing; there are {secrets_port}"),
        (f'{HURD}agent = false\nready_at = "agent"\n', "never reaches"),
        (f"{HURD}id = 50\n", "id"),
        (f'{HURD}type = "hurd"\n', "type"),
    ],
)
def test_what_is_wrong_is_said_with_the_next_step(folder: Folder, text: str, said: str) -> None:
    assert said in "\n".join(folder.problems(text)).replace(": is missing", " is missing").replace(
        "options: has", "options has"
    )


def test_two_machines_cannot_have_one_number_port_or_written_image(folder: Folder) -> None:
    same = '[[hurd_vm]]\nid = 1\nimage = "/a.img"\n[[hurd_vm]]\nid = 1\nimage = "/b.img"\n'
    assert "stands in this file twice" in folder.problems(same)[0]
    shared = (
        '[[hurd_vm]]\nid = 1\nimage = "/a.img"\nstateful = true\n'
        '[[hurd_vm]]\nid = 2\nimage = "/a.img"\n'
    )
    assert "image: is that of hurd-vm2 too" in folder.problems(shared)[0]
    port = '[[hurd_vm]]\nid = 1\nimage = "/a.img"\n[[build_vm]]\nimage = "/b.img"\n'
    assert "port 11022 is taken by hurd-vm1 already" in folder.problems(port)[0]
