from tests.support.config_folder import Folder

from virtsupd.config.build import build_service
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.config.show import definition_text
from virtsupd.core.names import Name


def shown(data: dict[str, object], *sources: str) -> str:
    table = ServiceTable.model_validate(data)
    return definition_text(build_service(Name("web"), table, HostSettings(), ""), sources)


def test_a_definition_is_shown_with_its_sources_and_without_defaults() -> None:
    text = shown(
        {"command": ["x", 'a"b'], "ready": "notify", "umask": "022", "limits": {"nofile": 5}},
        "/usr/units/web.toml",
        "/etc/host.toml [service.web]",
    )
    assert text == (
        "# web\n"
        "# from /usr/units/web.toml\n"
        "# then /etc/host.toml [service.web]\n"
        'provides = ["web"]\n'
        'command = ["x", "a\\"b"]\n'
        "limits = { nofile = 5 }\n"
        'log = { file = "/var/log/virtsupd/web.log" }\n'
        'ready = "notify"\n'
    )


def test_a_one_shot_that_says_how_far_it_is_is_shown_as_such() -> None:
    ready = {"kind": "exit", "status": True}
    assert 'ready = { kind = "exit", status = true }\n' in shown(
        {"command": ["x"], "one_shot": True, "ready": ready}
    )
    assert "ready" not in shown({"command": ["x"], "one_shot": True, "ready": "exit"})


def test_a_target_has_no_process_to_show() -> None:
    assert shown({"requires": ["a"]}) == '# web\nprovides = ["web"]\nrequires = ["a"]\n'


def test_a_source_cannot_break_out_of_its_comment() -> None:
    assert '# from "/a\\nnice = 1"\n' in shown({}, "/a\nnice = 1")


def test_secrets_are_hidden() -> None:
    text = shown({"command": ["x"], "environment": {"DB_PASSWORD": "hush", "LANG": "C"}})
    assert 'environment = { DB_PASSWORD = "(hidden)", LANG = "C" }' in text


def test_what_is_in_force_of_a_built_in_service_is_shown_as_one(folder: Folder) -> None:
    loaded = folder.load("[virtlog]\n[service.virtlogd]\nnice = 3\n")
    name = Name("virtlogd")
    text = definition_text(loaded.graph.spec_by_name[name], loaded.sources[name])
    assert text.splitlines()[2:4] == [
        f"# then {folder.host} [virtlog]",
        f"# then {folder.host} [service.virtlogd]",
    ]
    assert "nice = 3\n" in text
    assert 'reload = { signal = "SIGUSR1", timeout = 30.0 }\n' in text
    assert 'mode = "process"' in text
