"""All kinds of services, by the name of the table that turns each on.

The module of a kind is imported when its table is there, at start or at a reload.
"""

from virtsupd.config.kinds import Kind, KindParts, Registry


def _virtlog() -> KindParts:
    from virtsupd.services.virtlog import VIRTLOG  # noqa: PLC0415 - see above

    return VIRTLOG


def _libvirt() -> KindParts:
    from virtsupd.services.libvirt import LIBVIRT  # noqa: PLC0415 - see above

    return LIBVIRT


def _virtlock() -> KindParts:
    from virtsupd.services.virtlock import VIRTLOCK  # noqa: PLC0415 - see above

    return VIRTLOCK


def _guest() -> KindParts:
    from virtsupd.services.guest import GUEST  # noqa: PLC0415 - see above

    return GUEST


def _binfmt() -> KindParts:
    from virtsupd.services.binfmt import BINFMT  # noqa: PLC0415 - see above

    return BINFMT


def _hurd_vm() -> KindParts:
    from virtsupd.services.childhurd import HURD_VM  # noqa: PLC0415 - see above

    return HURD_VM


def _build_vm() -> KindParts:
    from virtsupd.services.build_vm import BUILD_VM  # noqa: PLC0415 - see above

    return BUILD_VM


def _guest_agent() -> KindParts:
    from virtsupd.services.guest_agent import GUEST_AGENT  # noqa: PLC0415 - see above

    return GUEST_AGENT


def _ganeti() -> KindParts:
    from virtsupd.services.ganeti import GANETI  # noqa: PLC0415 - see above

    return GANETI


KINDS: Registry = {
    "virtlog": Kind(("virtlogd",), _virtlog),
    "virtlock": Kind(("virtlockd",), _virtlock),
    "libvirt": Kind(("libvirtd",), _libvirt),
    "qemu_binfmt": Kind(("qemu-binfmt",), _binfmt),
    "hurd_vm": Kind(("hurd-vm",), _hurd_vm, is_array=True, may_be_one=True),
    "build_vm": Kind(("build-vm",), _build_vm, is_array=True, may_be_one=True),
    "qemu_guest_agent": Kind(("qemu-guest-agent",), _guest_agent),
    "ganeti": Kind(
        (
            "ganeti",
            "ganeti-configuration",
            "ganeti-noded",
            "ganeti-confd",
            "ganeti-wconfd",
            "ganeti-rapi",
            "ganeti-luxid",
            "ganeti-kvmd",
            "ganeti-mond",
            "ganeti-metad",
            "ganeti-watcher",
            "ganeti-cleaner-master",
            "ganeti-cleaner-node",
        ),
        _ganeti,
    ),
    "guest": Kind((), _guest, is_array=True),
}
