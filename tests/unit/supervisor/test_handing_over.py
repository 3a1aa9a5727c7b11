"""Activation sockets over an exec: under which names, with which definitions."""

import json
import os
import socket
from pathlib import Path

from virtsupd.core.names import Name
from virtsupd.core.spec import SocketSpec
from virtsupd.process.activation import ListeningSockets
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.reexec import Handover
from virtsupd.supervisor.handing_over import SOCKETS, definitions, of_sockets, take_sockets

WEB, FRONT = Name("web"), Name("front")


def handed_over(held: ListeningSockets, **changes: object) -> Inheritance:
    """Return what comes of sockets on the other side of an exec."""
    held_by = {WEB: held}
    facts = json.loads(json.dumps({SOCKETS: definitions(held_by)} | changes))
    descriptors = {what: os.dup(number) for what, number in of_sockets(held_by).items()}
    held.leave()
    return Inheritance(Handover(descriptors, facts, frozenset()))


def opened(tmp_path: Path) -> tuple[SocketSpec, ListeningSockets]:
    spec = SocketSpec(name="web", listen=str(tmp_path / "web.sock"), mode=0o666)
    held = ListeningSockets()
    held.open_all([spec])
    return spec, held


def test_a_socket_goes_on_under_its_old_definition_and_a_new_one_replaces_it(
    tmp_path: Path,
) -> None:
    spec, held = opened(tmp_path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(spec.listen)
        found = take_sockets(handed_over(held), {})[WEB]
        assert found.specs == (spec,)
        (listening,) = found.open_all([spec])
        with socket.socket(fileno=os.dup(listening)) as ours:
            ours.accept()[0].close()
        changed = SocketSpec(name="web", listen=spec.listen, mode=0o600)
        found.open_all([changed])
        assert Path(spec.listen).stat().st_mode & 0o777 == 0o600
        found.close()
    assert not Path(spec.listen).exists()


def test_a_renamed_service_has_its_sockets(tmp_path: Path) -> None:
    spec, held = opened(tmp_path)
    found = take_sockets(handed_over(held), {WEB: FRONT})
    assert [(name, sockets.specs) for name, sockets in found.items()] == [(FRONT, (spec,))]
    found[FRONT].close()


def test_what_another_version_says_is_opened_anew(tmp_path: Path) -> None:
    spec, held = opened(tmp_path)
    inherited = handed_over(held, **{SOCKETS: {"web": [{"name": "web", "colour": "blue"}]}})
    found = take_sockets(inherited, {})[WEB]
    assert found.specs == ()
    found.open_all([spec])
    found.close()
