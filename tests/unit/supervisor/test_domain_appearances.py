"""Guests that come and go without virtsupd: started by hand, edited, migrated to this host or away."""

from dataclasses import replace

import pytest
from tests.support.hand_libvirt import HandLibvirt, off, running
from tests.unit.supervisor.test_domains import DOMAIN, WEB, Host, hosting, running_guest

from virtsupd.core.domain import GuestNote, GuestStop
from virtsupd.core.effects import AdoptDomain
from virtsupd.core.events import (
    Adopted,
    Appeared,
    Defined,
    Exited,
    Gone,
    NeverMade,
    Spawned,
    SpawnFailed,
    Told,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.process.domains import DomainNews, DomainState

NOT_ARRIVED = SpawnFailed(
    WEB,
    1,
    "libvirt",
    "its migration to this host has ended, and it does not run here",
    is_permanent=False,
    is_elsewhere=True,
)


def arriving() -> DomainNews:
    return replace(running("web1"), state=DomainState.PAUSED, reason="migration")


def arrives(host: Host) -> None:
    host.libvirt.put("web1", DomainState.PAUSED, "migration")


def starts(host: Host) -> int:
    return host.libvirt.asked.count("start web1")


# Started by somebody else


async def test_what_runs_when_it_is_first_seen_has_not_begun_just_now() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        host.domains.attend()
        await host.until_posted(Appeared(WEB))
        host.posted.clear()
        host.libvirt.put("web1", DomainState.RUNNING, "booted")  # as `virsh edit` has it told
        await host.until_posted(Appeared(WEB))
        assert Appeared(WEB, is_new=True) not in host.posted


async def test_what_runs_again_when_its_end_is_dealt_with_is_new() -> None:
    async with running_guest() as host:
        await host.settle()
        host.libvirt.put("web1", DomainState.OFF, "destroyed")
        await host.until_posted(Exited(WEB, 1, ExitStatus(code=0, words="was destroyed")))
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.settle()
        assert not [event for event in host.posted if isinstance(event, Appeared)]
        host.end()
        await host.until_posted(Gone(WEB, 1), Appeared(WEB, is_new=True))


async def test_what_began_since_it_was_last_seen_is_new() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        host.domains.attend()
        await host.until_posted(Appeared(WEB))
        host.libvirt.put("web1", DomainState.OFF, "shutdown")
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_is_left_again_is_new_only_after_its_end() -> None:
    async with running_guest() as host:
        host.end(GuestStop.LEAVE)
        await host.until_posted(Gone(WEB, 1))
        host.libvirt.put("web1", DomainState.OFF, "shutdown")
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


# Migrated to this host


@pytest.mark.parametrize("reason", ["migration", "starting up", "post-copy"])
async def test_a_guest_that_only_arrives_has_not_appeared(reason: str) -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.domains.attend()
        await host.settle()
        host.libvirt.put("web1", DomainState.PAUSED, reason)
        await host.settle()
        host.libvirt.lose("it was stopped")
        host.libvirt.return_()
        await host.settle()
        assert host.news == []
        host.libvirt.put("web1", DomainState.RUNNING, "migrated")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_did_not_arrive_never_appeared() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.domains.attend()
        await host.settle()
        arrives(host)
        await host.settle()
        host.libvirt.put("web1", DomainState.OFF, "failed")
        await host.settle()
        assert host.news == []


async def test_a_paused_guest_that_is_here_appears() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.domains.attend()
        await host.settle()
        host.libvirt.put("web1", DomainState.PAUSED, "user")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_arrives_is_not_started_before_it_runs_here() -> None:
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        host.start()
        await host.settle()
        text = f"{GuestNote.ARRIVING}, and is not started twice"
        assert Told(WEB, 1, "waiting", text) in host.posted
        assert (host.news, starts(host)) == ([], 0)
        assert host.domains.seen() == frozenset()
        host.libvirt.put("web1", DomainState.RUNNING, "migrated")
        await host.until_posted(Spawned(WEB, 1, 4711))


@pytest.mark.parametrize("is_seen", [True, False])
async def test_a_start_of_a_guest_that_did_not_arrive_does_not_boot_it(*, is_seen: bool) -> None:
    """It runs where it was: on two hosts it would destroy its disks."""
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        host.start()
        await host.settle()
        if is_seen:
            host.libvirt.put("web1", DomainState.OFF, "failed")
        else:
            host.libvirt.lose("it crashed")
            host.libvirt.found["web1"] = off("web1", "failed")
            host.libvirt.return_()
        await host.until_posted(NOT_ARRIVED)
        assert starts(host) == 0
        assert not host.domains.has(WEB)


async def test_a_guest_that_left_libvirt_instead_of_arriving_is_not_started() -> None:
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        host.start()
        await host.settle()
        host.libvirt.found.clear()
        host.libvirt.on_news(DomainNews("web1", DomainState.GONE, "failed"))
        await host.until_posted(NOT_ARRIVED)
        assert starts(host) == 0


@pytest.mark.parametrize("how", [GuestStop.SHUTDOWN, GuestStop.DESTROY, GuestStop.LEAVE])
async def test_a_stop_does_not_end_a_guest_that_only_arrives(how: GuestStop) -> None:
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        host.start()
        await host.settle()
        host.end(how)
        await host.until_posted(Gone(WEB, 1))
        await host.settle()
        assert host.libvirt.found["web1"] == arriving()
        assert host.news == [Gone(WEB, 1)]


async def test_a_guest_that_goes_on_paused_from_its_saved_state_has_been_started() -> None:
    async with hosting(HandLibvirt({"web1": off("web1", "saved")})) as host:
        start = host.libvirt.start

        async def restore(domain: str) -> None:
            await start(domain)
            arrives(host)  # libvirt's word for this, too

        host.libvirt.start = restore  # type: ignore[method-assign]  # (the way a saved one starts)
        host.start()
        await host.until_posted(Spawned(WEB, 1, 4711))


# Migrated away


async def test_a_guest_that_ends_between_two_hosts_may_run_on_the_other() -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", DomainState.PAUSED, "migration")
        host.libvirt.put("web1", DomainState.OFF, "crashed")
        status = ExitStatus(code=1, words="crashed during a migration")
        await host.until_posted(Exited(WEB, 1, status, is_elsewhere=True))


async def test_a_guest_whose_migration_was_cancelled_is_here() -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", DomainState.PAUSED, "migration")
        host.libvirt.put("web1", DomainState.RUNNING, "unpaused")
        host.libvirt.put("web1", DomainState.OFF, "crashed")
        await host.until_posted(Exited(WEB, 1, ExitStatus(code=1, words="crashed")))


# After a virtsupd that died


def adopt(host: Host, *, was_running: bool = False, was_arriving: bool = False) -> None:
    effect = AdoptDomain(WEB, 1, DOMAIN, was_running, was_arriving)
    host.domains.adopt(effect, host.posted.append)


async def test_a_start_that_waits_for_a_guest_to_arrive_waits_anew() -> None:
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        adopt(host, was_arriving=True)
        await host.until_posted(NeverMade(WEB, 1))
        host.start()
        await host.settle()
        assert starts(host) == 0


async def test_a_guest_that_did_not_arrive_meanwhile_is_not_started() -> None:
    async with hosting(HandLibvirt({"web1": off("web1", "failed")})) as host:
        adopt(host, was_arriving=True)
        await host.until_posted(NOT_ARRIVED)
        assert NeverMade(WEB, 1) not in host.posted


async def test_a_guest_that_arrived_meanwhile_is_adopted() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        adopt(host, was_arriving=True)
        await host.until_posted(Adopted(WEB, 1, 4711))


async def test_a_guest_that_ran_and_is_between_two_hosts_is_adopted() -> None:
    async with hosting(HandLibvirt({"web1": arriving()})) as host:
        adopt(host, was_running=True)
        await host.until_posted(Adopted(WEB, 1, 4711))


# What libvirt comes to know


async def test_a_domain_that_is_defined_is_told_once() -> None:
    async with hosting(HandLibvirt()) as host:
        host.domains.attend()
        await host.settle()
        for _ in range(2):
            host.libvirt.put("web1", DomainState.OFF, "unknown")
        await host.settle()
        assert host.posted == [Defined(WEB)]
