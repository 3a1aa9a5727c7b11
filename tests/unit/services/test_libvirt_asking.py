import sys

import pytest

from virtsupd.services.libvirt_asking import DaemonError, admin_uri, answer


def failing(complaint: str) -> list[str]:
    """Return a command that complains and fails."""
    return [sys.executable, "-c", "import sys; sys.exit(sys.argv[1])", complaint]


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "why"),
    [
        (
            failing(
                "error: failed to connect to the hypervisor\n"
                "error: Failed to connect socket to '/run/x y': Connection refused"
            ),
            "libvirtd does not run, or is only starting; virtsupctl start libvirtd",
        ),
        (failing("error: one\n\nerror: two"), "one; two"),
        (
            ["/no/virsh", "list"],
            "/no/virsh cannot be run: no such file or directory; it comes with libvirt's client programs",
        ),
    ],
)
def test_a_failure_says_what_to_do_next(command: list[str], why: str) -> None:
    with pytest.raises(DaemonError) as caught:
        answer("libvirtd", command)
    assert str(caught.value).startswith(why)


def test_each_daemon_has_a_socket_of_its_own() -> None:
    assert admin_uri("libvirtd", "/a b") == "libvirtd:///system?socket=/a%20b/libvirt-admin-sock"
    assert admin_uri("virtlogd", "/r") == "virtlogd:///system?socket=/r/virtlogd-admin-sock"
