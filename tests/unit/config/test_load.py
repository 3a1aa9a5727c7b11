from pathlib import Path

import pytest
from tests.support.config_folder import Folder
from tests.support.guest_kind import PRETEND

from virtsupd.config.load import load
from virtsupd.core import spec
from virtsupd.core.names import Name
from virtsupd.errors import ConfigError
from virtsupd.services.registry import KINDS

WEB = '[service.web]\ncommand = ["/bin/x"]\n'
IDLE = "{}/units/virtlogd.toml: changes virtlogd, which nothing turns on; a table [virtlog] would"


def test_a_minimal_file_loads(folder: Folder) -> None:
    loaded = folder.load(WEB)
    assert [item.name for item in loaded.specs] == ["web"]
    assert loaded.path == folder.host
    assert loaded.sources == {"web": (f"{folder.host} [service.web]",)}
    assert (loaded.generated, loaded.directories, loaded.warnings) == ((), (), ())
    assert loaded.graph.resolve("web") == "web"


def test_a_file_with_nothing_in_it_supervises_nothing(folder: Folder) -> None:
    assert folder.load("").specs == ()


def test_drop_ins_win_key_by_key_in_the_order_of_their_names(folder: Folder) -> None:
    folder.write(
        "host.toml.d/20.toml", "[service.web]\nnice = 2\n[service.other]\ncommand = ['y']\n"
    )
    folder.write("host.toml.d/10.toml", "[service.web]\nnice = 1\nuser = 'www'\n")
    made = folder.service(WEB + "user = 'a'\ngroup = 'b'\n").process
    assert made is not None
    assert (made.user, made.group, made.nice, made.command) == ("www", "b", 2, ("/bin/x",))
    loaded = folder.load(WEB)
    assert [item.name for item in loaded.specs] == ["web", "other"]
    assert loaded.sources[Name("web")] == (
        f"{folder.host} [service.web]",
        f"{folder.path}/host.toml.d/10.toml [service.web]",
        f"{folder.path}/host.toml.d/20.toml [service.web]",
    )


def test_unit_files_are_services_without_the_prefix(folder: Folder) -> None:
    folder.write("units/job.toml", 'command = ["/bin/job"]\none_shot = true\n')
    folder.write("units/a%2Fb.toml", 'requires = ["job"]\n')
    loaded = folder.load("")
    assert {item.name for item in loaded.specs} == {"job", "a/b"}
    assert loaded.sources[Name("job")] == (f"{folder.path}/units/job.toml",)
    assert folder.service("", "job").source == f"{folder.path}/units/job.toml"


def test_a_later_unit_directory_and_the_host_file_win_key_by_key(folder: Folder) -> None:
    folder.write("u1/web.toml", 'command = ["/bin/web"]\nnice = 1\ndescription = "one"\n')
    folder.write("u2/web.toml", "nice = 2\n")
    host = f'[host]\nunit_dirs = ["{folder.path}/u1", "{folder.path}/u2", "{folder.path}/none"]\n'
    made = folder.service(host + '[service.web]\ndescription = "host"\n')
    assert made.process is not None
    assert (made.process.nice, made.description) == (2, "host")


def test_tables_turn_their_services_on(folder: Folder) -> None:
    loaded = folder.load('[host]\nrun_dir = "/run/t"\nunit_dirs = []\n[virtlog]\n[libvirt]\n')
    by_name = {str(item.name): item for item in loaded.specs}
    assert by_name.keys() == {"virtlogd", "libvirtd", "user-processes", "dbus-system"}
    assert [str(file.path) for file in loaded.generated] == [
        "/run/t/generated/virtlog/virtlogd.conf",
        "/run/t/generated/libvirt/libvirtd.conf",
    ]
    libvirtd = by_name["libvirtd"]
    assert libvirtd.process is not None
    assert libvirtd.process.command == ("libvirtd", "-f", str(loaded.generated[1].path))
    assert libvirtd.stop.mode is spec.StopMode.PROCESS
    assert loaded.graph.earlier[Name("libvirtd")] == ("virtlogd", "dbus-system")


def test_a_kind_may_know_of_guests_that_run_through_a_service(folder: Folder) -> None:
    folder.write(
        "host.toml",
        """
        [pretend]
        service = "virtd"
        directory = "/g"
        [service.virt]
        provides = ["virt", "virtd"]
        command = ["/bin/virt"]
        [service.web]
        command = ["/bin/web"]
        [host]
        unit_dirs = []
        """,
    )
    loaded = load(folder.host, {"pretend": PRETEND})
    assert list(loaded.guest_hosts) == ["virt"]
    assert [spec.name for spec in loaded.specs if spec.hosts_guests] == ["virt"]
    assert loaded.graph.spec_by_name[Name("virt")].hosts_guests


def test_whose_end_may_cost_guests_something_is_known_by_canonical_name(folder: Folder) -> None:
    loaded = folder.load('[virtlog]\n[service.virtlogd]\nprovides = ["consoles", "virtlogd"]\n')
    assert {item.name: item.guard for item in loaded.specs if item.guard} == {"consoles": "virtlog"}


def test_a_built_in_service_stays_off_without_its_table(folder: Folder) -> None:
    loaded = folder.load("[libvirt]\n")
    assert "virtlogd" not in {item.name for item in loaded.specs}
    assert "virtlogd" in loaded.absent
    assert loaded.graph.wants[Name("libvirtd")] == ("dbus-system",)


def test_autostart_false_leaves_it_to_a_command(folder: Folder) -> None:
    assert not folder.service("[virtlog]\nautostart = false\n", "virtlogd").autostart


def test_a_built_in_service_is_overridden_key_by_key(folder: Folder) -> None:
    folder.write("units/virtlogd.toml", 'nice = 5\nstop = { delay = "1min" }\n')
    made = folder.service("[virtlog]\n[service.virtlogd]\nrespawn = false\n", "virtlogd")
    assert made.process is not None
    assert made.process.nice == 5
    assert made.process.oom_score_adjust == -900
    assert made.stop == spec.Stop("SIGTERM", 60, spec.StopMode.PROCESS)
    assert made.respawn is None


def test_an_override_of_what_is_off_changes_nothing_and_says_so(folder: Folder) -> None:
    folder.write("units/virtlogd.toml", "nice = 5\n")
    loaded = folder.load(WEB)
    assert [item.name for item in loaded.specs] == ["web"]
    assert loaded.warnings == (IDLE.format(folder.path),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[service.libvirtd]\nnice = 5\n", "host.toml: service.libvirtd: changes the built-in service libvirtd, which nothing turns on; add the table [libvirt], or a command to make it a service of your own"),
        ("[service.virtlogd]\n" + WEB + "requires = ['virtlogd']\n", "host.toml: service.virtlogd: changes the built-in service virtlogd, which nothing turns on; add the table [virtlog], or a command to make it a service of your own"),
    ],
)  # fmt: skip
def test_a_table_about_a_built_in_service_that_is_off_is_refused(
    folder: Folder, text: str, said: str
) -> None:
    assert folder.problems(text) == [said]


def test_a_service_of_ones_own_may_be_called_like_a_built_in_one(folder: Folder) -> None:
    made = folder.service('[service.libvirtd]\ncommand = ["/opt/libvirtd"]\n', "libvirtd")
    assert made.process is not None
    assert (made.process.command, made.requires) == (("/opt/libvirtd",), ())


def test_built_in_targets_are_loaded_only_when_something_pulls_them_in(folder: Folder) -> None:
    assert {item.name for item in folder.load(WEB + 'requires = ["loopback"]\n').specs} == {
        "web",
        "loopback",
    }
    loaded = folder.load(WEB + 'after = ["networking"]\n')
    assert [item.name for item in loaded.specs] == ["web"]


def test_a_service_that_provides_the_name_replaces_a_built_in_target(folder: Folder) -> None:
    own = '[service.net]\ncommand = ["x"]\nprovides = ["net", "networking"]\n'
    loaded = folder.load(WEB + 'requires = ["networking"]\n' + own)
    assert {item.name for item in loaded.specs} == {"web", "net"}
    made = folder.service("[service.networking]\ncommand = ['x']\n", "networking")
    assert made.ready == spec.Readiness()


def test_a_unit_file_changes_a_built_in_condition_key_by_key(folder: Folder) -> None:
    folder.write("units/networking.toml", "ready = { timeout = 5 }\n")
    made = folder.service("", "networking")
    assert made.ready == spec.Readiness(spec.HostProbe(spec.HostCheck.NETWORKING), 5)


def test_networking_is_assumed_if_the_host_says_so(folder: Folder) -> None:
    text = '[host]\nnetworking = "assume"\nunit_dirs = []\n' + WEB + 'requires = ["networking"]\n'
    probe = spec.HostProbe(spec.HostCheck.NETWORKING, assume=True)
    assert folder.service(text, "networking").ready.probe == probe


def test_access_names_services_by_any_provision(folder: Folder) -> None:
    rule = '[[access.rule]]\nrole = "operator"\nuid = 5\nservices = ["www"]\n'
    loaded = folder.load(WEB + 'provides = ["web", "www"]\n' + rule)
    assert loaded.access.rules[0].services == ("web",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[servce.x]\n", "host.toml: servce: unknown table; did you mean [service.NAME]?"),
        ('[[guests]]\ndomain = "db1"\n', "host.toml: guests: unknown table; did you mean [[guest]]?"),
        ("zzz = 1\n[host]\n", "host.toml: zzz: unknown table; known here: [host], [access], [service.NAME], [virtlog], [virtlock], [libvirt], [qemu_binfmt], [hurd_vm], [build_vm], [qemu_guest_agent], [ganeti], [[guest]]"),
        ("service = 1\n[host]\n", "host.toml: service: found 1, must be a table: [service]"),
        ("[service]\nweb = 1\n", "host.toml: service.web: found 1, must be a table: [service.web]"),
        ('[service."a b"]\n', 'host.toml: service."a b": \'a b\' is not a service name: letters, digits and any of _ . @ : + / - (not first), at most 128 bytes'),
        ("[service.root]\n", "host.toml: service.root: 'root' is not free: it means virtsupd itself"),
        ("[host]\non_trem = 'quit'\n", "host.toml: host.on_trem: unknown key; did you mean on_term?"),
        ("[access]\nmode = 'x'\n", 'host.toml: access.mode: found "x", must be three octal digits as a string, such as "0640" or "022"'),
        ("[access]\nowner = 'nobody-has-this'\n", "host.toml: access.owner: no user is named 'nobody-has-this'"),
        ("[libvirt]\nmax_client = 3\n", "host.toml: libvirt.max_client: unknown key; did you mean max_clients?"),
        ("[libvirt]\nmax_clients = 5\n", "host.toml: libvirt.max_anonymous_clients: found 20, must be at most max_clients, which is 5"),
        (WEB + "requires = ['wbe']\n", "host.toml: web: requires: no service provides 'wbe'; the nearest known name is 'web'"),
        (WEB + "user = ''\n", 'host.toml: service.web.user: found "", must be a name of the user or group database, or a number'),
        (WEB + "a b\n", "host.toml:5:3: expected '=' after a key in a key/value pair"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_key_value_and_what_is_allowed(
    folder: Folder, text: str, said: str
) -> None:
    problems = folder.problems(text)
    assert problems == [said]


def test_all_errors_of_all_files_are_said_at_once(folder: Folder) -> None:
    folder.write("host.toml.d/10.toml", "[service.web]\nnice = 99\n")
    folder.write("units/job.toml", "comand = ['x']\n")
    folder.write("units/-x.toml", "")
    problems = folder.problems(
        "[hots]\n"
        "[access]\nmode = 5\n"
        + WEB
        + "umask = 22\nrequires = ['nowhere', 'job']\n"
        + "[service.a]\ncommand = ['x']\nrequires = ['b']\n"
        + "[service.b]\ncommand = ['x']\nrequires = ['a', 'missing']\n"
        + "[service.c]\nuser = 'x'\n"
        + "[libvirt]\ntls_port = 5\n"
    )
    assert sorted(line.split(": ", 2)[:2] for line in problems) == sorted(
        [
            ["host.toml", "hots"],
            ["host.toml", "access.mode"],
            ["host.toml", "libvirt.tls_port"],
            ["host.toml", "service.web.umask"],
            ["host.toml.d/10.toml", "service.web.nice"],
            ["host.toml", "service.c.user"],
            ["host.toml", "b"],
            ["host.toml", "a"],
            ["units/job.toml", "comand"],
            ["units/-x.toml", "'-x' is not a service name"],
        ]
    )


def test_an_unreadable_file_does_not_make_other_names_missing(folder: Folder) -> None:
    folder.write("units/broken.toml", "x = \n")
    problems = folder.problems(WEB + "requires = ['broken']\nnice = 99\n")
    assert problems == [
        "units/broken.toml:1:5: invalid value",
        "host.toml: service.web.nice: found 99, must be at most 19",
    ]


def test_a_bad_host_table_still_names_its_unit_directories(folder: Folder) -> None:
    folder.write("u/job.toml", "command = ['x']\n")
    problems = folder.problems(
        f'[host]\non_term = "x"\nunit_dirs = ["{folder.path}/u"]\n{WEB}requires = ["job", "jub"]\n'
    )
    assert [line.split(": ")[1] for line in problems] == ["host.on_term", "web"]
    problems = folder.problems('[host]\nunit_dirs = "x"\n' + WEB + 'requires = ["job"]\n')
    assert [line.split(": ")[1] for line in problems] == ["host.unit_dirs"]


def test_directories_that_cannot_be_read_are_named(folder: Folder) -> None:
    folder.write("units", "")
    assert folder.problems("") == ["units: cannot be read: Not a directory"]
    folder.write("host.toml.d", "")
    assert folder.problems("[host]\nunit_dirs = []\n") == [
        "host.toml.d: cannot be read: Not a directory"
    ]


def test_a_missing_host_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"host\.toml: cannot be read: No such file or directory"):
        load(tmp_path / "host.toml", KINDS)


def test_two_services_may_not_share_a_log(folder: Folder) -> None:
    other = "[service.other]\ncommand = ['x']\nlog = { file = '/var/log/virtsupd/web.log' }\n"
    (line,) = folder.problems(WEB + other)
    assert line == (
        "host.toml: service.other.log.file: /var/log/virtsupd/web.log is already the log of web"
        "; each service needs its own"
    )


def test_two_services_may_not_listen_on_one_address(folder: Folder) -> None:
    other = "[service.other]\ncommand = ['x']\nsockets = ['/run/x', '127.0.0.1:80']\n"
    (line,) = folder.problems(WEB + "sockets = [80]\n" + other)
    assert line == ("host.toml: service.other.sockets[2]: 127.0.0.1:80 is taken by the service web")


def test_names_belong_to_one_service(folder: Folder) -> None:
    other = "[service.other]\ncommand = ['x']\nprovides = ['web', 'x']\n"
    (line,) = folder.problems(WEB + other)
    assert line == (
        "host.toml: service.other.provides: 'web' is already the name of a service in "
        "host.toml [service.web]"
    )
    other = "[service.other]\ncommand = ['x']\nprovides = ['x', 'web']\n"
    (line,) = folder.problems(WEB + other)
    assert "'web' is already provided" in line


def test_a_refused_table_still_counts_as_a_name(folder: Folder) -> None:
    text = WEB + "requires = ['b2']\n[service.b]\nnice = 99\nprovides = ['b', 'b2', 'not a name']\n"
    problems = folder.problems(text)
    assert [line.split(": ")[1] for line in problems] == ["service.b.provides[3]", "service.b.nice"]


def test_a_rule_about_a_refused_service_is_not_called_unknown(folder: Folder) -> None:
    rule = '[[access.rule]]\nrole = "operator"\nuid = 5\nservices = ["web"]\n'
    problems = folder.problems(WEB + "nice = 99\n" + rule)
    assert [line.split(": ")[1] for line in problems] == ["service.web.nice"]


def test_secrets_stand_in_no_message(folder: Folder) -> None:
    (line,) = folder.problems(WEB + "environment = { API_TOKEN = ['hush'] }\n")
    assert "hush" not in line
    assert "(hidden)" in line
