"""All kinds of services, by the name of the table that turns each on."""

from virtsupd.config.kinds import Registry
from virtsupd.services.libvirt import LIBVIRT
from virtsupd.services.virtlog import VIRTLOG

KINDS: Registry = {"virtlog": VIRTLOG, "libvirt": LIBVIRT}
