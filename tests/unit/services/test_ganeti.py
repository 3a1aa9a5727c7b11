"""`[ganeti]`: one table turns a whole node on."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.names import Name
from virtsupd.core.spec import PathProbe

TABLE = "[ganeti]\nos = []\n"
QUIET = f"{TABLE}[ganeti.rapi]\nrequire_authentication = true\n"
DAEMONS = {
    f"ganeti-{short}" for short in ["noded", "confd", "wconfd", "rapi", "luxid", "kvmd", "mond"]
}
JOBS = {"ganeti-watcher", "ganeti-cleaner-master", "ganeti-cleaner-node"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def test_one_table_turns_on_all_but_metad(folder: Folder) -> None:
    loaded = folder.load(QUIET)
    assert loaded.warnings == ()
    started = {spec.name for spec in loaded.specs if spec.autostart}
    assert started >= DAEMONS | JOBS | {"ganeti", "ganeti-configuration"}
    assert "ganeti-metad" not in started
    target = folder.service(QUIET, "ganeti")
    assert set(target.wants) == DAEMONS | JOBS
    assert {action.name for action in target.actions} == {
        "check",
        "facts",
        "install-daemon-util",
        "remove-daemon-util",
    }


def test_what_is_not_to_start_with_virtsupd_does_not(folder: Folder) -> None:
    loaded = folder.load(f"{TABLE}autostart = false\n")
    started = {spec.name for spec in loaded.specs if spec.autostart}
    assert not started & (DAEMONS | JOBS | {"ganeti"})
    wants = folder.service(f"{TABLE}[ganeti.mond]\nautostart = false\n", "ganeti").wants
    assert "ganeti-mond" not in wants


def test_daemons_wait_for_the_files_they_would_fail_without(folder: Folder) -> None:
    keys = f'{TABLE}[ganeti.noded]\nssl_cert = "/etc/own.pem"\n'
    assert "ganeti-certificate" in folder.service(keys, "ganeti-noded").requires
    certificate = folder.service(keys, "ganeti-certificate")
    assert certificate.ready.probe == PathProbe("/etc/own.pem")
    assert not certificate.ready.timeout_seconds


@pytest.mark.parametrize(
    ("keys", "address"),
    [
        ("", None),
        ('[ganeti.rapi]\naddress = "192.0.2.1"', "192.0.2.1"),
        ('[ganeti.rapi]\naddress = "192.0.2.1"\n[ganeti.watcher]\nrapi_ip = "::1"', "::1"),
        ('[ganeti.rapi]\ninterface = "eth1"', None),
    ],
)
def test_the_watcher_asks_rapi_where_rapi_listens(
    folder: Folder, keys: str, address: str | None
) -> None:
    process = folder.service(f"{TABLE}{keys}\n", "ganeti-watcher").process
    assert process is not None
    asked = [word for word in process.command if word.startswith("--rapi-ip")]
    assert asked == ([f"--rapi-ip={address}"] if address else [])
    assert "--job-age=21600" in process.command


def test_watcher_and_cleaner_run_at_their_times_as_the_right_accounts(folder: Folder) -> None:
    text = f'{TABLE}accounts = "debian"\n[ganeti.cleaner]\nmaster_schedule = "@daily"\n'
    watcher = folder.service(text, "ganeti-watcher")
    assert watcher.timer is not None
    assert watcher.timer.expressions == ("*/5 * * * *",)
    master = folder.service(text, "ganeti-cleaner-master")
    assert master.timer is not None
    assert master.process is not None
    assert (master.timer.expressions, master.process.user) == (("@daily",), "gnt-masterd")
    node = folder.service(text, "ganeti-cleaner-node")
    assert node.process is not None
    assert (node.process.command[-1], node.process.user) == ("node", None)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            '[ganeti.noded]\naddress = "192.0.2.1"\ninterface = "eth1"',
            "ganeti.noded.address: does not go with interface",
        ),
        ("[ganeti.mond]\nport = 1811", "ganeti.mond.port: 1811 is the port of [ganeti.noded]"),
        ('[ganeti.rapi]\naddress = "localhost"', "ganeti.rapi.address: "),
        ('[ganeti.watcher]\nrapi_ip = "here"', "ganeti.watcher.rapi_ip: "),
        ("[ganeti.nodd]", "ganeti.nodd"),
        ('[ganeti.watcher]\nschedule = "sometimes"', "ganeti.watcher.schedule"),
        ("[ganeti.noded]\nmax_client = 3", "max_clients"),
        ('[ganeti.noded]\nhealth = "yes"', 'health: found "yes", must be true or false'),
        ('ssh = "nosuch"', "no service provides 'nosuch'"),
    ],
)
def test_what_ganeti_would_refuse_is_refused_first(folder: Folder, keys: str, said: str) -> None:
    [problem] = folder.problems(f"{TABLE}{keys}\n")
    assert said in problem


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("[ganeti.luxid]\nno_voting = true", "without asking the other nodes who is master"),
        ("[ganeti.noded]\nssl = false", "without TLS"),
        ("[ganeti.rapi]\n", "without a password"),
        ('[ganeti.rapi]\ninterface = "eth1"', "say watcher.rapi_ip"),
    ],
)
def test_what_is_dangerous_is_told(folder: Folder, keys: str, said: str) -> None:
    assert any(said in warning for warning in folder.load(f"{TABLE}{keys}\n").warnings)


def test_instances_end_with_the_host_unless_they_are_to_be_left(folder: Folder) -> None:
    assert set(folder.load(TABLE).guest_hosts) == {"ganeti-noded"}
    assert not folder.load(f'{TABLE}guests = "leave"\n').guest_hosts


def test_a_check_of_the_file_says_what_this_host_lacks(folder: Folder) -> None:
    faults = folder.load(f'{TABLE}ganeti = "/nowhere"\n').host_faults()
    assert any("there is no /nowhere/lib/ganeti/ensure-dirs" in fault.text for fault in faults)


def test_what_keeps_files_from_being_written_is_no_fault_of_the_daemons(
    folder: Folder, tmp_path: Path
) -> None:
    hooks = f'[[ganeti.os]]\nname = "debootstrap"\nvariants = [{{ name = "x", hooks = "{tmp_path}/none" }}]\n'
    faults = folder.load(f"[ganeti]\n{hooks}").host_faults()
    [services] = {fault.services for fault in faults if f"{tmp_path}/none" in fault.text}
    assert services == ("ganeti-configuration",)


def test_daemon_util_is_told_what_the_tables_say(folder: Folder) -> None:
    sshd = '[service.sshd]\ncommand = ["sshd", "-D"]\n'
    keys = f'{TABLE}ganeti = "/opt/g"\nssh = "sshd"\n[ganeti.noded]\nssl_cert = "/own.pem"\n{sshd}'
    actions = {action.name: action.command for action in folder.service(keys, "ganeti").actions}
    words = actions["install-daemon-util"]
    assert words[words.index("--ssh") :] == (
        *("--ssh", "sshd", "--certificate", "/own.pem", "--programs", "/opt/g/sbin"),
        *("--path", "/opt/g/lib/ganeti/daemon-util"),
    )


def test_what_is_missing_for_ganetis_own_tools_is_told_where_one_looks(folder: Folder) -> None:
    remarks = folder.load(f'{TABLE}ganeti = "/nowhere"\n').remarks()
    [warning] = remarks[Name("ganeti")].warnings
    assert warning.endswith("virtsupctl install-daemon-util ganeti")


def test_a_port_of_a_daemon_that_is_off_is_free(folder: Folder) -> None:
    folder.load(f"{TABLE}[ganeti.rapi]\nport = 80\n")
    [problem] = folder.problems(
        f"{TABLE}[ganeti.rapi]\nport = 80\n[ganeti.metad]\nautostart = true\n"
    )
    assert "80 is the port of" in problem
