"""virtsupd under real init systems: what each of them makes of a start, a restart and the host's end."""

from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.init_system import PACKAGING, PrivateHost, private_host, programs

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

UP = "the host is up"
IDLE = ("sh", "-c", f"echo {UP}; exec sleep 100000")
# systemd

_BOOT = """
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s ../virtsupd.service /etc/systemd/system/multi-user.target.wants/
for unit in /lib/systemd/system/*.target.wants/*; do
  case $unit in *journald*) ;; *) ln -sf /dev/null "/etc/systemd/system/${unit##*/}" ;; esac
done
for unit in systemd-udevd systemd-logind systemd-networkd systemd-journal-flush; do
  ln -sf /dev/null /etc/systemd/system/$unit.service
done
mount -t tmpfs -o mode=755 private /mnt
mkdir /mnt/pts /mnt/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 console:1:3; do
  IFS=: read -r name major minor <<END
$node
END
  mknod -m 666 /mnt/$name c $major $minor  # its own, for systemd gives some away to other users
done
mount --move /mnt /dev
container=test exec /lib/systemd/systemd --system --unit=multi-user.target
"""
"""Becomes a systemd that runs nothing of the machine's own and sees none of its devices."""

UNITS = ("virtsupd.service", "virtsupd-host-shutdown.service")


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    units = [f"/etc/systemd/system/{unit}" for unit in UNITS]
    command = ["systemd-analyze", "verify", "--man=no", *units]
    with private_host("systemd", command, shared=tmp_path) as host:
        assert host.inside.wait() == 0
        installed = host.inside.output.partition("next: ")[2]
        assert len(installed.splitlines()) == 1, f"systemd-analyze says: {installed}"


def test_under_systemd_services_outlive_a_restart_and_end_in_order_with_the_host(
    tmp_path: Path,
) -> None:
    with private_host("systemd", ["sh", "-c", _BOOT], shared=tmp_path, is_first=True) as host:
        host.await_services()
        lives = host.lives()
        host.run("systemctl stop virtsupd-host-shutdown.service", expect=4)
        host.run("systemctl restart virtsupd-host-shutdown.service", expect=4)
        host.run("/usr/libexec/virtsupd/host-shutdown --if-systemd-stops")
        host.run("systemctl reload virtsupd.service")
        for pid in lives:
            place = host.run(f"cat /proc/{pid}/cgroup")
            assert "/system.slice/virtsupd.service/" in place
        assert host.are_alive(lives)
        host.run("systemctl poweroff")
        host.inside.wait()
    assert host.ended == ["front", "back"]


def test_under_systemd_services_outlive_restart_stop_crash_and_another_target(
    tmp_path: Path,
) -> None:
    with private_host("systemd", ["sh", "-c", _BOOT], shared=tmp_path, is_first=True) as host:
        host.await_services()
        lives = host.lives()
        before = host.daemon()
        host.run("systemctl restart virtsupd.service")
        assert host.daemon() != before
        host.run("systemctl isolate rescue.target")
        host.run("systemctl is-active virtsupd.service virtsupd-host-shutdown.service")
        crashed = host.daemon()
        assert crashed is not None
        host.inside.signal(crashed, "KILL")
        eventually(lambda: host.daemon() not in (crashed, None), "another virtsupd")
        host.run("systemctl stop virtsupd.service")
        host.run("systemctl is-active virtsupd-host-shutdown.service")
        assert host.are_alive(lives)


def test_under_systemd_what_an_earlier_virtsupd_started_ends_in_order_with_the_host(
    tmp_path: Path,
) -> None:
    with private_host("systemd", ["sh", "-c", _BOOT], shared=tmp_path, is_first=True) as host:
        host.await_services()
        lives = host.lives()
        host.run("systemctl restart virtsupd.service")
        host.await_services()
        assert host.lives() == lives
        host.run("systemctl poweroff")
        host.inside.wait()
    assert host.ended == ["front", "back"]


_SHORT = """
mkdir -p /etc/systemd/system/virtsupd.service.d
printf '[Service]\\nTimeoutStopSec=2\\n' >/etc/systemd/system/virtsupd.service.d/short.conf
"""
"""What virtsupd has to end when systemd stops it: less than each of the services takes."""


@pytest.mark.parametrize("on_the_way", ["", "; systemctl stop virtsupd.service"])
def test_under_systemd_a_shutdown_by_hand_takes_the_time_that_it_takes(
    tmp_path: Path, on_the_way: str
) -> None:
    boot = ["sh", "-c", _SHORT + _BOOT]
    with private_host("systemd", boot, shared=tmp_path, is_first=True, lag_seconds=4) as host:
        host.await_services()
        host.run(
            f"virtsupctl shutdown & until test -s {host.ended_file}; do sleep 0.1; done{on_the_way}; wait"
        )
        is_down = "systemctl show -p ActiveState virtsupd.service"
        eventually(lambda: "=inactive" in host.run(is_down), "the end of virtsupd")
        shown = host.run("systemctl show -p Result -p NRestarts virtsupd.service")
        assert sorted(shown.split()) == ["NRestarts=0", "Result=success"]
        assert host.ended == ["front", "back"]


def test_under_systemd_a_shutdown_of_the_host_takes_the_time_that_it_takes(tmp_path: Path) -> None:
    boot = ["sh", "-c", _SHORT + _BOOT]
    with private_host("systemd", boot, shared=tmp_path, is_first=True, lag_seconds=4) as host:
        host.await_services()
        host.run("systemctl poweroff")
        host.inside.wait()
    assert host.ended == ["front", "back"]


# OpenRC

_OPENRC = ("openrc", "librc1", "libeinfo1")
_RUNLEVELS = f"""
echo 'rc_cgroup_mode="unified"' >>/etc/rc.conf
mkdir -p /etc/runlevels/default /etc/runlevels/shutdown /etc/runlevels/boot /etc/runlevels/sysinit
for script in /etc/init.d/*; do case $script in */virtsupd) ;; *) rm $script ;; esac; done
printf '#!/sbin/openrc-run\\nstart() {{ return 0; }}\\n' >/etc/init.d/localmount
chmod 755 /etc/init.d/localmount
: >/etc/insserv.conf
openrc sysinit && openrc boot && rc-update add virtsupd default && openrc default
echo {UP}
exec sleep 100000
"""


def test_under_openrc_services_end_in_order_with_the_host_and_virtsupd_stays_down(
    tmp_path: Path,
) -> None:
    over = programs(*_OPENRC)
    with private_host("openrc", ["sh", "-c", _RUNLEVELS], shared=tmp_path, over=over) as host:
        host.await_said(UP)
        host.await_services()
        host.run("rc-service virtsupd reload")
        host.run("openrc shutdown")
        assert host.ended == ["front", "back"]
        assert host.daemon() is None
        host.run("! grep -qs supervise-daemo /proc/[0-9]*/comm")


def test_under_openrc_what_an_earlier_virtsupd_started_ends_in_order_with_the_host(
    tmp_path: Path,
) -> None:
    over = programs(*_OPENRC)
    with private_host("openrc", ["sh", "-c", _RUNLEVELS], shared=tmp_path, over=over) as host:
        host.await_said(UP)
        host.await_services()
        lives = host.lives()
        host.run("rc-service virtsupd restart")
        host.await_services()
        assert host.lives() == lives
        host.run("openrc shutdown")
        assert host.ended == ["front", "back"]
        assert host.daemon() is None


def test_under_openrc_a_shutdown_by_hand_lasts_until_the_next_start(tmp_path: Path) -> None:
    over = programs(*_OPENRC)
    with private_host("openrc", ["sh", "-c", _RUNLEVELS], shared=tmp_path, over=over) as host:
        host.await_said(UP)
        host.await_services()
        host.run("virtsupctl shutdown")
        log = host.inside.root / "var/log/virtsupd/virtsupd.log"
        eventually(lambda: "virtsupd was shut down" in log.read_text(), "the waiting command")
        assert host.daemon() is None
        host.run("rc-service virtsupd restart")
        host.await_services()


def test_under_openrc_services_outlive_crash_restart_and_stop(tmp_path: Path) -> None:
    over = programs(*_OPENRC)
    with private_host("openrc", ["sh", "-c", _RUNLEVELS], shared=tmp_path, over=over) as host:
        host.await_said(UP)
        host.await_services()
        lives = host.lives()
        crashed = host.daemon()
        assert crashed is not None
        host.inside.signal(crashed, "KILL")
        eventually(lambda: host.daemon() not in (crashed, None), "another virtsupd")
        host.run("rc-service virtsupd restart")
        host.run("rc-service virtsupd stop")
        assert host.are_alive(lives)


# sysvinit

_SYSV = "/etc/init.d/virtsupd"


@pytest.mark.parametrize("before", ["restart", "stop"])
def test_the_sysv_script_ends_what_an_earlier_virtsupd_started(tmp_path: Path, before: str) -> None:
    with private_host("sysvinit", IDLE, shared=tmp_path) as host:
        _started_by_sysv(host)
        lives = host.lives()
        host.run(f"RUNLEVEL=2 {_SYSV} {before}")
        assert host.are_alive(lives)
        host.run(f"RUNLEVEL=0 {_SYSV} stop")
        assert host.ended == ["front", "back"]
        assert not host.are_alive(lives)


def test_the_sysv_script_starts_restarts_and_stops_virtsupd_alone(tmp_path: Path) -> None:
    with private_host("sysvinit", IDLE, shared=tmp_path) as host:
        host.await_said(UP)
        host.run(f"{_SYSV} status", expect=3)
        host.run(f"{_SYSV} start")
        host.run(f"{_SYSV} status")
        host.run(f"{_SYSV} start")
        host.await_services()
        lives = host.lives()
        host.run(f"RUNLEVEL=2 {_SYSV} restart")
        host.run(f"{_SYSV} reload && {_SYSV} force-reload && {_SYSV} try-restart")
        host.run(f"{_SYSV} stop")
        host.run(f"{_SYSV} status", expect=1)
        host.run(f"{_SYSV} stop")
        assert host.are_alive(lives)


def test_the_sysv_script_lives_in_the_cgroup_of_the_host_and_not_of_who_calls_it(
    tmp_path: Path,
) -> None:
    with private_host("sysvinit", IDLE, shared=tmp_path) as host:
        host.await_said(UP)
        session = "/sys/fs/cgroup/session"
        host.run(f"mkdir {session} && echo $$ >{session}/cgroup.procs && {_SYSV} start")
        host.run(f'test -z "$(cat {session}/cgroup.procs)"')
        host.await_services()


@pytest.mark.parametrize("level", ["0", "6", "1"])
def test_the_sysv_script_ends_all_in_order_on_the_way_down(tmp_path: Path, level: str) -> None:
    with private_host("sysvinit", IDLE, shared=tmp_path) as host:
        _started_by_sysv(host)
        host.run(f"RUNLEVEL={level} {_SYSV} stop")
        assert host.ended == ["front", "back"]
        host.run(f"{_SYSV} status", expect=3)


def _started_by_sysv(host: PrivateHost) -> None:
    host.await_said(UP)
    host.run(f"RUNLEVEL=2 {_SYSV} start")
    host.await_services()


def test_the_sysv_script_says_what_the_standard_base_wants_it_to_say(tmp_path: Path) -> None:
    with private_host("sysvinit", IDLE, shared=tmp_path) as host:
        host.await_said(UP)
        host.run(f"{_SYSV} dance", expect=2)
        host.run(f"setpriv --reuid 65534 --clear-groups {_SYSV} start", expect=4)
        host.run("echo wrong >>/etc/virtsupd/host.toml")
        assert "host.toml" in host.run(f"{_SYSV} start", expect=1)
        host.run("rm /usr/local/sbin/virtsupd")
        host.run(f"{_SYSV} start", expect=5)
        host.run(f"{_SYSV} stop")


# runit

_SV = "/etc/sv/virtsupd"


def test_under_runit_services_outlive_restart_and_crash(tmp_path: Path) -> None:
    over = programs("runit")
    with private_host("runit", ["runsv", _SV], shared=tmp_path, over=over) as host:
        host.await_services()
        lives = host.lives()
        before = host.daemon()
        host.run(f"sv restart {_SV}")  # returns at once for what began in the same second
        eventually(lambda: host.daemon() not in (before, None), "another virtsupd")
        crashed = host.daemon()
        assert crashed is not None
        host.inside.signal(crashed, "KILL")
        eventually(lambda: host.daemon() not in (crashed, None), "another virtsupd")
        host.run(f"sv start {_SV} && sv down {_SV}")
        assert host.are_alive(lives)


def test_under_runit_services_end_in_order_with_the_host_and_virtsupd_stays_down(
    tmp_path: Path,
) -> None:
    over = programs("runit")
    with private_host("runit", ["runsv", _SV], shared=tmp_path, over=over) as host:
        host.await_services()
        host.run((PACKAGING / "runit/rc.shutdown").read_text())
        assert host.ended == ["front", "back"]
        eventually(lambda: "down" in host.run(f"sv status {_SV}").split(":")[0], "down")
        host.run(f"sv force-stop {_SV}")
        # Not by `sv exit`, which would be there still when the last of the host ends.
        (host.inside.root / f"{_SV.lstrip('/')}/supervise/control").write_bytes(b"x")
        assert host.inside.wait() == 0


def test_under_runit_what_an_earlier_virtsupd_started_ends_in_order_with_the_host(
    tmp_path: Path,
) -> None:
    over = programs("runit")
    with private_host("runit", ["runsv", _SV], shared=tmp_path, over=over) as host:
        host.await_services()
        lives, crashed = host.lives(), host.daemon()
        assert crashed is not None
        host.inside.signal(crashed, "KILL")
        eventually(lambda: host.daemon() not in (crashed, None), "another virtsupd")
        host.await_services()
        assert host.lives() == lives
        host.run((PACKAGING / "runit/rc.shutdown").read_text())
        assert host.ended == ["front", "back"]


def test_under_runit_a_refused_host_file_is_not_tried_again(tmp_path: Path) -> None:
    over = programs("runit")
    spoil = f"echo wrong >>/etc/virtsupd/host.toml; exec runsv {_SV}"
    with private_host("runit", ["sh", "-c", spoil], shared=tmp_path, over=over) as host:
        eventually(lambda: "stays down" in host.inside.output, "finish")
        eventually(lambda: host.run(f"sv status {_SV}").startswith("down"), "down")
        assert host.inside.output.count("is refused") == 1


# A container


def test_as_the_first_process_virtsupd_ends_all_in_order_at_term(tmp_path: Path) -> None:
    command = ["sh", "-c", "exec virtsupd --config /etc/virtsupd/host.toml"]
    with private_host("sysvinit", command, shared=tmp_path, is_first=True) as host:
        host.await_services()
        assert host.daemon() == 1
        host.run("(sleep 100000 & echo) >/dev/null 2>&1")
        host.inside.signal(1, "TERM")
        assert host.inside.wait() == 0
    assert host.ended == ["front", "back"]
