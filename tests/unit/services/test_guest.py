"""`[[guest]]` makes a service of a domain."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.config.domains import DEFAULT_RESPAWN
from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.config.show import definition_text
from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.names import Name
from virtsupd.core.spec import AgentProbe, BannerProbe, Health, Readiness, Respawn, Stop
from virtsupd.services.guest import unattended

ALONG = ("virtlogd", "libvirtd")
WEB = '[[guest]]\ndomain = "web1"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def test_a_domain_is_a_service_that_starts_along_with_libvirt(folder: Folder) -> None:
    web = folder.service(WEB + "[libvirt]\n[virtlog]\n", "web1")
    assert web.domain == DomainSpec("web1")
    assert (web.is_guest, web.autostart, web.requires) == (True, True, ())
    assert (web.wants, web.after) == (ALONG, ALONG)
    assert web.ready == Readiness(None, 300.0)
    assert web.respawn == DEFAULT_RESPAWN
    assert web.stop == Stop(delay_seconds=300.0, how=GuestStop.SHUTDOWN)


def test_libvirt_may_be_run_by_somebody_else(folder: Folder) -> None:
    loaded = folder.load(WEB)
    assert [spec.name for spec in loaded.specs] == ["web1"]
    assert loaded.graph.wants[Name("web1")] == ()


def test_every_key_reaches_the_definition(folder: Folder) -> None:
    web = folder.service(
        """
        [[guest]]
        domain = "web1"
        name = "site"
        description = "front page"
        provides = ["site", "www"]
        requires = ["db1"]
        wants = ["cache", "libvirtd"]
        after = ["cache"]
        before = ["last"]
        conflicts = ["old"]
        ready = { kind = "banner", host = "192.0.2.7", port = 22, expect = "SSH", timeout = "1min" }
        health = { kind = "agent", on_failure = "restart" }
        respawn = { on = "end", delay = 5 }
        stop = { how = "save", delay = "20s" }
        autostart = false
        [guest.actions.shot]
        command = ["/bin/shot"]
        [[guest]]
        domain = "db1"
        [service.cache]
        command = ["/bin/cache"]
        [service.last]
        [service.old]
        command = ["/bin/old"]
        autostart = false
        """,
        "site",
    )
    assert (web.provides, web.requires, web.before) == (("site", "www"), ("db1",), ("last",))
    assert (web.wants, web.after) == ((*ALONG, "cache"), (*ALONG, "cache"))
    assert (web.conflicts, web.autostart, web.description) == (("old",), False, "front page")
    probe = BannerProbe("SSH", port=22, host="192.0.2.7")
    assert web.ready == Readiness(probe, 60.0)
    assert web.health == Health(AgentProbe(), on_failure="restart")
    assert web.respawn == Respawn(delay_seconds=5.0, window_seconds=300.0)
    assert web.stop == Stop(delay_seconds=20.0, how=GuestStop.SAVE)
    assert [action.name for action in web.actions] == ["shot"]


def test_a_drop_in_adds_guests_and_changes_them_key_by_key(folder: Folder) -> None:
    folder.write(
        "host.toml.d/1.toml",
        '[[guest]]\ndomain = "db1"\n[[guest]]\ndomain = "web1"\nrequires = ["db1"]\n',
    )
    folder.write("host.toml.d/2.toml", '[[guest]]\ndomain = "web1"\nstop = { delay = 9 }\n')
    loaded = folder.load(WEB + 'stop = { how = "acpi" }\n')
    assert [spec.name for spec in loaded.specs] == ["web1", "db1"]
    web = loaded.graph.spec_by_name[Name("web1")]
    assert (web.requires, web.stop) == (("db1",), Stop(delay_seconds=9.0, how=GuestStop.ACPI))
    assert loaded.sources[Name("web1")] == (
        f'{folder.host} [[guest]] "web1"',
        f'{folder.path}/host.toml.d/1.toml [[guest]] "web1"',
        f'{folder.path}/host.toml.d/2.toml [[guest]] "web1"',
    )


def test_unit_files_and_tables_of_services_change_a_guest(folder: Folder) -> None:
    folder.write("units/web1.toml", 'description = "front page"\nstop = { delay = 7 }\n')
    loaded = folder.load(WEB + "[service.web1]\nautostart = false\n")
    web = loaded.graph.spec_by_name[Name("web1")]
    assert (web.description, web.stop.delay_seconds, web.autostart) == ("front page", 7.0, False)
    text = definition_text(web, loaded.sources[web.name])
    assert text == (
        "# web1\n"
        f'# from {folder.host} [[guest]] "web1"\n'
        f"# then {folder.path}/units/web1.toml\n"
        f"# then {folder.host} [service.web1]\n"
        'description = "front page"\n'
        'provides = ["web1"]\n'
        'wants = ["virtlogd", "libvirtd"]\n'
        'after = ["virtlogd", "libvirtd"]\n'
        'domain = "web1"\n'
        'stop = { how = "shutdown", delay = 7.0 }\n'
        "autostart = false\n"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[[guest]]\ndomain = "my vm"\n',
            (
                "host.toml: guest \"my vm\": the key name is missing: 'my vm' is not a service name: "
                "letters, digits and any of _ . @ : + / - (not first), at most 128 bytes"
            ),
        ),
        (
            WEB + 'uri = "qemu+ssh://far/system"\n',
            (
                'host.toml: guest "web1": uri: found "qemu+ssh://far/system", must be "qemu:///system": '
                "guests of this host, run by its libvirtd"
            ),
        ),
        (
            WEB + 'binds_to = ["db1"]\n',
            (
                'host.toml: guest "web1": binds_to: unknown key; say requires: only what [service.NAME] '
                "defines falls with something else"
            ),
        ),
        (
            WEB + 'ready = "notify"\n',
            (
                'host.toml: guest "web1": ready: found "notify", must be a kind of probe: none, agent, '
                "tcp, banner, http"
            ),
        ),
        (
            WEB + 'health = { kind = "agnet" }\n',
            (
                'host.toml: guest "web1": health.kind: found "agnet", must be a kind of probe; did you mean '
                "agent? There are: none, agent, tcp, banner, http"
            ),
        ),
        (
            WEB + 'stop = { how = "poweroff" }\n',
            (
                'host.toml: guest "web1": stop.how: found "poweroff", must be one of "shutdown", "agent", '
                '"acpi", "save", "destroy" or "leave"'
            ),
        ),
        (
            WEB + '[service.web1]\ncommand = ["x"]\n',
            (
                "host.toml: service.web1.command: does not go with domain: a service is a process or a "
                "guest of libvirt; call one of them otherwise"
            ),
        ),
        (
            WEB + '[[guest]]\ndomain = "db1"\nname = "web1"\n',
            (
                'host.toml: guest "db1": name: \'web1\' is already the name of [[guest]] "web1" in '
                "host.toml"
            ),
        ),
        (
            WEB + '[service.other]\ndomain = "web1"\n',
            "host.toml: service.other.domain: 'web1' is already the domain of web1",
        ),
        (WEB + 'requires = ["db"]\n', "host.toml: web1: requires: no service provides 'db'"),
        (
            WEB + 'requires = ["db"]\n[[guest]]\ndomain = "db"\nrequires = ["web1"]\n',
            "host.toml: db: waits for itself: db → web1 → db",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words_that_help(folder: Folder, text: str, problem: str) -> None:
    assert folder.problems(text) == [problem]


def test_a_guest_that_is_refused_is_not_said_to_be_missing(folder: Folder) -> None:
    problems = folder.problems(
        WEB + 'requires = ["db"]\n[[guest]]\ndomain = "db"\nautostart = 1\n[service.db]\n'
        'stop = { delay = 5 }\n[service.x]\nrequires = ["nobody"]\n'
    )
    assert problems == [
        'host.toml: guest "db": autostart: found 1, must be true or false',
        "host.toml: x: requires: no service provides 'nobody'",
    ]


def test_guests_that_nobody_runs_are_warned_of(tmp_path: Path) -> None:
    sockets = (f"{tmp_path}/a", f"{tmp_path}/b")
    alone = KindContext(HostSettings(), {}, frozenset({"guest"}))
    text = f"there is no table [libvirt], and {tmp_path}/a is missing: guests wait for it"
    assert list(unattended(alone, sockets)) == [((), text)]
    assert not list(unattended(KindContext(HostSettings(), {}, frozenset({"libvirt"})), sockets))
    (tmp_path / "b").touch()
    assert not list(unattended(alone, sockets))


def test_a_table_of_libvirt_runs_all_guests(folder: Folder) -> None:
    assert not [line for line in folder.load(WEB + "[libvirt]\n").warnings if "guests wait" in line]


@pytest.mark.process
def test_a_domain_that_libvirt_does_not_know_is_found_when_somebody_checks(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = (
        "#!/bin/sh\n[ $3 = qemu:///system ] && printf 'db1\\nold one\\n\\nqemu:///system\\n\\n'\n"
    )
    folder.write("bin/virsh", virsh).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder.path}/bin", prepend=":")
    loaded = folder.load(WEB + 'autostart = false\n[[guest]]\ndomain = "db1"\n')
    assert loaded.host_faults() == ()  # it may be defined later
    assert loaded.host_remarks() == (
        (
            f"{folder.host}: guest \"web1\": domain: found 'web1', which qemu:///system does not know; "
            "virsh define it first"
        ),
    )


@pytest.mark.process
def test_a_libvirtd_with_sockets_elsewhere_is_asked_there(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = f"#!/bin/sh\ncase $3 in *socket={folder.path}/*) printf 'web1\\n\\nqemu:///system\\n' ;; esac\n"
    folder.write("bin/virsh", virsh).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder.path}/bin", prepend=":")
    text = f'{WEB}[virtlog]\n[libvirt]\nunix_sock_dir = "{folder.path}/s"\n'
    assert folder.load(text).host_remarks() == ()


@pytest.mark.process
@pytest.mark.parametrize("status", [0, 1])
def test_a_libvirt_that_does_not_answer_is_said_to_have_said_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """In the daemon the reaper may have waited for virsh: its status tells nothing there."""
    folder.write("bin/virsh", f"#!/bin/sh\nexit {status}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder.path}/bin", prepend=":")
    loaded = folder.load(WEB + '[[guest]]\ndomain = "db1"\n')
    assert loaded.host_remarks() == (
        (
            f"{folder.host}: guest: qemu:///system does not answer: whether it knows the domains was "
            "not looked at"
        ),
    )
