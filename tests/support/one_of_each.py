"""A virtsupd with a service of each kind, for whoever walks through all that a client can ask.

One virtsupd serves a module of tests: each begins with `rest`, whatever the one before has done.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.daemon import Daemon, host, shell

NOBODY = 65534
"""May operate web and what it requires."""
DATABASE_KEEPER = 65533
"""May operate the database, on which web depends."""
WEB_KEEPER = 65532
"""May operate web alone."""
ACCESS = f"""
[access]
mode = "0666"
[[access.rule]]
role = "operator"
uid = {NOBODY}
services = ["web", "database"]
[[access.rule]]
role = "operator"
uid = {DATABASE_KEEPER}
services = ["database"]
[[access.rule]]
role = "operator"
uid = {WEB_KEEPER}
services = ["web"]
"""
WEB_LINE = "trap 'echo reloaded' USR1; echo web is up; while :; do sleep 1000 & wait; done"
SERVICES = f"""
[service.web]
description = "front page"
provides = ["web", "www"]
requires = ["database"]
command = {shell(WEB_LINE)}
reload = "USR1"
[service.web.actions.greet]
description = "Greet somebody."
command = ["/bin/sh", "-c", 'printf "[%s]" "$@"', "greet"]
[service.web.actions.fail]
description = "Fail."
command = ["/bin/sh", "-c", "echo oops >&2; exit 3"]
[service.database]
command = ["/bin/sleep", "1000"]
[service.once]
command = {shell("echo done it")}
one_shot = true
[service.broken]
command = {shell("echo cannot >&2; exit 7")}
ready = "notify"
respawn = {{ delay = "10ms", limit = 1 }}
autostart = false
[service.needs-broken]
command = ["/bin/sleep", "1000"]
requires = ["broken"]
autostart = false
[service.crashing]
command = {shell("echo crash; exit 3")}
respawn = {{ delay = "1min", max_delay = "1min" }}
[service.missing]
command = ["/no/such/program"]
autostart = false
[service.needs-missing]
command = ["/bin/sleep", "1000"]
requires = ["missing"]
autostart = false
[service.off]
command = ["/bin/sleep", "1000"]
autostart = false
[service.needs-off]
command = ["/bin/sleep", "1000"]
requires = ["off"]
autostart = false
[service.slow]
command = ["/bin/sleep", "1000"]
ready = {{ kind = "notify", timeout = 0 }}
[service.resident]
command = ["/bin/sleep", "1000"]
[service.rival]
command = ["/bin/sleep", "1000"]
conflicts = ["resident"]
autostart = false
[service.fleeting]
command = ["/bin/sleep", "1000"]
transient = true
autostart = false
"""
NAMES = [
    *("broken", "crashing", "database", "fleeting", "missing", "needs-broken", "needs-missing"),
    *("needs-off", "off", "once", "resident", "rival", "slow", "web"),
]


@contextmanager
def one_of_each() -> Iterator[Daemon]:
    """Yield it with a second socket for herd, `herd` beside its host file; it ends with a shutdown."""
    with host() as made:
        made.settings += f'herd_socket = "{made.root}/herd"\n'
        made.write(ACCESS + SERVICES)
        with made.started() as daemon:
            yield daemon


def rest(daemon: Daemon) -> None:
    """Bring back what runs after the start; `crashing` has crashed and waits for its next start."""
    daemon.call("Start", names=["web", "once", "resident"])
    daemon.call("Stop", names=["broken", "missing", "off", "rival"])
    daemon.call("Enable", names=["off"])
    daemon.await_status("crashing", lambda s: s["reason"], "a reason")
    assert daemon.state("slow") == "starting"
