from pathlib import Path

import pytest

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.core import spec
from virtsupd.core.names import Name

HOST = HostSettings(log_dir=Path("/log"))


def build(
    data: dict[str, object], name: str = "web", host: HostSettings = HOST
) -> spec.ServiceSpec:
    table = ServiceTable.model_validate(data)
    assert list(service_problems(table)) == []
    return build_service(Name(name), table, host, "web.toml")


def process(data: dict[str, object], name: str = "web") -> spec.ProcessSpec:
    found = build({"command": ["x"]} | data, name).process
    assert found is not None
    return found


def test_a_command_alone_is_a_service_with_all_defaults() -> None:
    assert build({"command": ["/bin/x", "y"]}) == spec.ServiceSpec(
        name=Name("web"),
        provides=(Name("web"),),
        source="web.toml",
        process=spec.ProcessSpec(("/bin/x", "y"), spec.LogSpec(file="/log/web.log")),
    )


def test_every_key_reaches_the_definition() -> None:
    made = build(
        {
            "description": "front page",
            "provides": ["www", "web"],
            "requires": ["a"],
            "binds_to": ["b"],
            "wants": ["c"],
            "after": ["d"],
            "before": ["e"],
            "conflicts": ["f"],
            "command": ["x"],
            "health": {"kind": "tcp", "port": 80, "interval": 1, "timeout": 2, "failures": 3},
            "respawn": {"delay": 1, "factor": 3, "max_delay": 4, "limit": 5, "window": 6},
            "stop": {"signal": "INT", "delay": 7, "mode": "process"},
            "reload": {"command": ["r"], "timeout": 8},
            "prepare": {"command": ["p"], "timeout": 20},
            "clean_up": {"command": ["u"], "timeout": 10},
            "transient": True,
            "autostart": False,
            "guest": True,
            "success_exit": [0, 3],
            "not_needed_exit": [11],
            "actions": {
                "shell": {"command": ["s"], "interactive": True},
                "test": {"description": "t", "command": ["t"], "timeout": 9, "admin": True},
            },
        }
    )
    assert made == spec.ServiceSpec(
        name=Name("www"),
        provides=(Name("www"), Name("web")),
        description="front page",
        source="web.toml",
        requires=(Name("a"),),
        binds_to=(Name("b"),),
        wants=(Name("c"),),
        after=(Name("d"),),
        before=(Name("e"),),
        conflicts=(Name("f"),),
        process=made.process,
        health=spec.Health(spec.TcpProbe(80), 1, 2, 3),
        respawn=spec.Respawn(1, 3, 4, 5, 6),
        stop=spec.Stop("SIGINT", 7, spec.StopMode.PROCESS),
        reload=spec.Reload(None, ("r",), 8),
        prepare=spec.Prepare(("p",), 20),
        clean_up=spec.CleanUp(("u",), 10),
        transient=True,
        autostart=False,
        is_guest=True,
        success_exit=frozenset({0, 3}),
        not_needed_exit=frozenset({11}),
        actions=(
            spec.ActionSpec("shell", "", ("s",), is_interactive=True),
            spec.ActionSpec("test", "t", ("t",), 9, needs_admin=True),
        ),
    )
    assert made.process is not None
    assert made.process.log.file == "/log/www.log"


def test_every_key_reaches_the_process() -> None:
    made = process(
        {
            "user": 33,
            "group": "www-data",
            "supplementary_groups": ["kvm", 4],
            "directory": "/srv/",
            "umask": "077",
            "environment": {"LANG": "C", "API_TOKEN": "t", "A": ""},
            "environment_file": ["/a", "-/b"],
            "limits": {"nofile": 1, "core": [0, "infinity"]},
            "capabilities": ["net_raw"],
            "no_new_privileges": True,
            "oom_score_adjust": -5,
            "nice": 5,
            "sockets": [
                "/run/x",
                {
                    "listen": "/run/http",
                    "name": "http",
                    "type": "stream",
                    "mode": "0660",
                    "owner": "o",
                    "group": "g",
                    "backlog": 5,
                },
            ],
            "log": {
                "file": "/x",
                "max_size": "1K",
                "max_age": "1d",
                "keep": 1,
                "compress": "none",
                "on_full": "block",
                "mode": "0600",
            },
        }
    )
    assert made == spec.ProcessSpec(
        command=("x",),
        log=spec.LogSpec("/x", 1024, 86400, 1, "none", "block", 0o600),
        user="33",
        group="www-data",
        supplementary_groups=("kvm", "4"),
        directory="/srv",
        umask=0o077,
        environment=(("A", ""), ("API_TOKEN", "t"), ("LANG", "C")),
        environment_files=("/a", "-/b"),
        limits=(spec.Limit("core", 0, None), spec.Limit("nofile", 1, 1)),
        capabilities=("CAP_NET_RAW",),
        no_new_privileges=True,
        oom_score_adjust=-5,
        nice=5,
        sockets=(
            spec.SocketSpec("web", "/run/x"),
            spec.SocketSpec("http", "/run/http", "stream", 0o660, "o", "g", 5),
        ),
        secret_environment=frozenset({"API_TOKEN"}),
    )


def test_names_become_file_and_descriptor_names() -> None:
    made = process({"sockets": ["/run/x"]}, "vm:a/b")
    assert made.log.file == "/log/vm:a%2Fb.log"
    assert made.sockets[0].name == "vm_a/b"


def test_log_false_keeps_nothing() -> None:
    assert process({"log": False}).log.file == ""
    assert process({"log": {}}).log.file == "/log/web.log"


def test_a_list_alone_is_the_command_before_or_after() -> None:
    assert build(RUN | {"prepare": ["before"]}).prepare == spec.Prepare(("before",), 30)
    assert build(RUN | {"clean_up": ["away"]}).clean_up == spec.CleanUp(("away",), 30)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "secret", "GITHUB_TOKEN", "SSH_KEY"])
def test_secrets_are_known_by_their_names(name: str) -> None:
    assert process({"environment": {name: "x"}}).secret_environment == {name}


def test_a_one_shot_is_ready_when_it_ends_and_is_not_respawned() -> None:
    made = build({"command": ["x"], "one_shot": True})
    assert made.ready == spec.Readiness(spec.ExitProbe(), 0), "it may take as long as it needs"
    assert made.respawn is None
    made = build(
        {
            "command": ["x"],
            "one_shot": True,
            "respawn": True,
            "ready": {"kind": "exit", "timeout": "1h"},
        }
    )
    assert made.ready == spec.Readiness(spec.ExitProbe(), 3600)
    assert made.respawn == spec.Respawn()


def test_an_end_with_0_is_no_success_where_it_means_not_needed() -> None:
    built = build({"command": ["x"], "not_needed_exit": [0]})
    assert (built.success_exit, built.not_needed_exit) == (frozenset(), frozenset({0}))


def test_respawn_can_be_switched_off() -> None:
    assert build({"command": ["x"], "respawn": False}).respawn is None


def test_a_delay_above_the_longest_raises_that() -> None:
    respawn = build({"command": ["x"], "respawn": {"delay": 60}}).respawn
    assert respawn is not None
    assert respawn.max_delay_seconds == 60


def test_without_a_command_it_is_a_target_or_a_condition() -> None:
    assert build({"requires": ["a"]}).is_stage
    made = build({"ready": {"kind": "mount", "path": "/srv", "timeout": 5}})
    assert made.ready == spec.Readiness(spec.MountProbe("/srv"), 5)
    assert made.respawn == spec.Respawn()


def test_a_condition_may_say_whether_it_is_tried_again() -> None:
    made = build({"ready": {"kind": "path", "path": "/x"}, "respawn": False})
    assert made.respawn is None


def test_networking_can_be_assumed() -> None:
    data: dict[str, object] = {"ready": {"kind": "host", "check": "networking"}}
    host = HostSettings(networking="assume")
    assert build(data, host=host).ready.probe == spec.HostProbe(
        spec.HostCheck.NETWORKING, assume=True
    )
    assert build(data).ready.probe == spec.HostProbe(spec.HostCheck.NETWORKING)
    data = {"ready": {"kind": "host", "check": "loopback"}}
    assert build(data, host=host).ready.probe == spec.HostProbe(spec.HostCheck.LOOPBACK)


RUN: dict[str, object] = {"command": ["x"]}


@pytest.mark.parametrize(
    ("data", "keys", "said"),
    [
        ({"user": "x"}, ("user",), "means nothing without command"),
        ({"respawn": False}, ("respawn",), "means nothing without command"),
        ({"ready": "notify"}, ("ready",), "notify needs a process"),
        (RUN | {"ready": "exit"}, ("ready",), "one_shot = true"),
        (RUN | {"one_shot": True, "ready": "notify"}, ("ready",), "must be exit"),
        (RUN | {"one_shot": True, "health": {"kind": "tcp", "port": 1}}, ("health",), "one-shot"),
        (
            RUN | {"ready": {"kind": "banner", "expect": "x"}},
            ("ready",),
            "exactly one of port and path",
        ),
        (
            RUN | {"ready": {"kind": "banner", "expect": "x", "path": "/x", "port": 1}},
            ("ready",),
            "exactly one",
        ),
        (
            RUN | {"ready": {"kind": "banner", "expect": "x", "path": "/x", "host": "a"}},
            ("ready", "host"),
            "with port",
        ),
        (
            RUN | {"health": {"kind": "banner", "expect": "x"}},
            ("health",),
            "exactly one of port and path",
        ),
        (RUN | {"health": {"kind": "fd"}}, ("health",), "cannot be asked again"),
        (RUN | {"health": {"kind": "notify", "timeout": 1}}, ("health", "timeout"), "for notify"),
        (RUN | {"log": False, "ready": {"kind": "log-line", "pattern": "x"}}, ("ready",), "none"),
        (
            RUN | {"ready": {"kind": "fd", "fd": 3}, "sockets": ["/x"]},
            ("ready", "fd"),
            "found 3, must be above 3",
        ),
        (
            RUN | {"sockets": ["/x", {"listen": 80, "type": "seqpacket"}]},
            ("sockets", 1, "type"),
            "for Unix sockets",
        ),
        (
            RUN | {"sockets": [{"listen": "@x", "mode": "0600"}]},
            ("sockets", 0, "mode"),
            "only a socket with a path",
        ),
        (
            RUN | {"respawn": {"delay": 9, "max_delay": 1}},
            ("respawn", "max_delay"),
            "at least delay, 9 seconds",
        ),
        (RUN | {"ready": {"kind": "listen"}}, ("ready",), "must have on, pid_file, or both"),
        (RUN | {"reload": {}}, ("reload",), "exactly one of signal and command"),
        (RUN | {"reload": {"signal": "HUP", "command": ["x"]}}, ("reload",), "exactly one"),
        (
            RUN | {"actions": {"a": {"command": ["a"], "interactive": True, "timeout": 9}}},
            ("actions", "a", "timeout"),
            "means nothing for an interactive action",
        ),
        (
            RUN | {"not_needed_exit": [0, 7], "success_exit": [0, 1]},
            ("not_needed_exit",),
            "0 stands in success_exit too",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(
    data: dict[str, object], keys: tuple[str | int, ...], said: str
) -> None:
    ((found, text),) = service_problems(ServiceTable.model_validate(data))
    assert found == keys
    assert said in text
