"""What is passed to a service beside its sockets; the sockets themselves: tests/process."""

from virtsupd.core.spec import SocketSpec
from virtsupd.process.activation import ListeningSockets, activation_environment


def test_the_environment_names_the_sockets_in_their_order() -> None:
    specs = [SocketSpec(name=name, listen="80") for name in ("b", "a")]
    assert activation_environment(specs) == {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "b:a"}


def test_a_service_without_sockets_gets_no_variables() -> None:
    assert activation_environment([]) == {}


def test_nothing_is_held_before_it_is_opened() -> None:
    sockets = ListeningSockets()
    assert sockets.descriptors == ()
    assert sockets.open_all([]) == ()
    sockets.close()
    sockets.leave()
