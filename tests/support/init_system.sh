#!/bin/sh
# tests/support/init_system.sh CGROUP PYTHON PROGRAMS INIT COMMAND [ARGUMENT…]
#
# Run COMMAND where virtsupd is installed and INIT's packaging too: in a mount namespace that the caller
# has made, with everything that is changed here private to it. CGROUP, which exists, becomes the root
# of the cgroups; PROGRAMS is a directory whose usr/ is laid over the machine's; PYTHON runs virtsupd.
# The environment names in HOST_FILE the host file to be installed.
set -eu
if [ "$1" != --inside ]; then
  echo $$ >"$1/cgroup.procs"
  exec unshare --cgroup --uts --ipc "$0" --inside "$@"
fi
python=$3 programs=$4 init=$5
shift 5
here=$(dirname "$(readlink -f "$0")")

fresh() { mount -t tmpfs -o mode=755 private "$1"; }

umount --recursive /sys/fs/cgroup
mount -t cgroup2 private /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys

for folder in lib sbin bin; do
  if [ -d "$programs/usr/$folder" ]; then
    mount -t overlay -o "lowerdir=$programs/usr/$folder:/usr/$folder" private "/usr/$folder"
  fi
done
fresh /usr/local/sbin
fresh /usr/libexec
fresh /var/log
fresh /mnt
cp -a /etc/. /mnt/
mount --move /mnt /etc
rm -rf /etc/init.d /etc/rc?.d /etc/systemd/system /etc/fstab
if [ -d "$programs/etc" ]; then cp -a "$programs/etc/." /etc/; fi

for program in virtsupd virtsupctl; do
  printf '#!/bin/sh\nexec %s -c "import sys; from virtsupd.cli.%s import main; sys.exit(main())" "$@"\n' \
    "$python" "$program" >"/usr/local/sbin/$program"
  chmod 755 "/usr/local/sbin/$program"
done
mkdir -p /etc/virtsupd
cp "$HOST_FILE" /etc/virtsupd/host.toml
"$here/../../packaging/install" "$init"
cd /
exec "$@"
