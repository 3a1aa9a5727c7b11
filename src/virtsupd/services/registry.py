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


KINDS: Registry = {
    "virtlog": Kind(("virtlogd",), _virtlog),
    "virtlock": Kind(("virtlockd",), _virtlock),
    "libvirt": Kind(("libvirtd",), _libvirt),
    "qemu_binfmt": Kind(("qemu-binfmt",), _binfmt),
    "guest": Kind((), _guest, is_array=True),
}
