"""The scripts that make what debootstrap left a guest that boots under KVM: run in order, by run-parts."""

from typing import Final

_INTERFACES: Final = """\
#!/bin/sh
# The guest's first network interface asks for its address by DHCP.
set -eu
[ "${NIC_COUNT:-0}" -gt 0 ] || exit 0
mkdir -p "$TARGET/etc/network"
cat > "$TARGET/etc/network/interfaces" <<END
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
END
"""

_GRUB: Final = """\
#!/bin/sh
# GRUB boots the guest, and speaks on the serial console as the guest's kernel does.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
if ! chroot "$TARGET" sh -c 'command -v grub-install' > /dev/null; then
  echo "no grub-install in the guest: it has no boot loader" >&2
  exit 0
fi

mounted=
undo() {
  for directory in $mounted; do
    umount "$TARGET/$directory" || true
  done
}
trap undo EXIT
mount -t proc proc "$TARGET/proc"
mounted="proc"
mount -t sysfs sysfs "$TARGET/sys"
mounted="sys $mounted"
mount --bind /dev "$TARGET/dev"
mounted="dev $mounted"

# Without net.ifnames=0 the first interface is not called eth0.
cat >> "$TARGET/etc/default/grub" <<END
GRUB_TIMEOUT_STYLE=menu
GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0,115200 net.ifnames=0"
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
END
chroot "$TARGET" grub-install "$BLOCKDEV"
chroot "$TARGET" update-grub
"""

DEFAULT_DEBOOTSTRAP_HOOKS: Final = {"10-interfaces": _INTERFACES, "90-grub": _GRUB}
"""Hooks of a debootstrap variant that says none: the network, and GRUB. By name, what is run."""
