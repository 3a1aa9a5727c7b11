"""Why a service is as it is, down to the cause: the chain behind `virtsupctl why`.

Theory of operation. Each service that matters is one link: how it stands, why, since when, what
happens next, and which others that is due to. From the service asked about, the causes are
followed until nothing is behind them; those last links are the culprits. Three questions can be
put to a service, and a link is asked the one that its own consequence raises:

- why is it not up (well)? Because of what it needs or comes after, or of a rival that is not gone;
  a target that runs is only as well as what it wants;
- why is it not gone yet? Because what depends on it goes first;
- why does it go at all? Because of what takes it along.

The first follows needs towards their roots; it may become the second, which follows dependents
away from them, or the third, which follows what takes others along towards the roots again. Those
two lead to nothing but themselves, so the walk ends. What several links have in common is one
link, named by each of them.
"""

from collections.abc import Mapping
from enum import Enum, auto

from virtsupd.core.explain import HoldKind, goes_first, hold, snapshot, stops_after
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.outlook import Next, joined, what_next
from virtsupd.core.service import Service
from virtsupd.core.snapshot import Reason, ReasonKind, ServiceSnapshot, State
from virtsupd.core.state import HostState


@frozen
class Link:
    """One service of a chain of causes."""

    snapshot: ServiceSnapshot
    why: str
    """Never empty; for a service that is as it should be, that it is."""
    since: float | None
    """Since when that holds, by the wall clock; None: nobody noted it."""
    causes: tuple[Name, ...]
    """The services this is due to; each is a link of the same chain."""
    next: Next
    needed_by: tuple[Name, ...]
    """Wanted services that cannot run without it, sorted."""

    @property
    def name(self) -> Name:
        """Its canonical name."""
        return self.snapshot.spec.name

    @property
    def is_well(self) -> bool:
        """Whether it runs and nothing is about to change that."""
        found = self.snapshot
        is_sound = found.reason is None or found.reason.kind is ReasonKind.ADOPTED
        is_sound = is_sound and found.note is None
        return found.state is State.RUNNING and is_sound and not self.causes

    @property
    def has_trouble(self) -> bool:
        """Whether its own output may tell what is wrong: the trouble began with it."""
        found = self.snapshot.reason
        return not self.causes and found is not None and found.kind in _TROUBLE


_TROUBLE = (
    ReasonKind.FAILED,
    ReasonKind.BACKING_OFF,
    ReasonKind.FINISHED,
    ReasonKind.DEGRADED,
    ReasonKind.WAITING,
)


@frozen
class Explanation:
    """Why a service is as it is: its own link first, each other one behind what it is a cause of."""

    links: tuple[Link, ...]

    @property
    def name(self) -> Name:
        """The service asked about."""
        return self.links[0].name

    @property
    def culprits(self) -> tuple[Name, ...]:
        """Where it all comes from; () for a service that is well."""
        if self.links[0].is_well:
            return ()
        return tuple(link.name for link in self.links if not link.causes)


class _Question(Enum):
    NOT_WELL = auto()
    """Also all that the others ask, where it is on its way down."""
    NOT_GONE = auto()
    GOING = auto()


_Causes = dict[Name, _Question]


def why(host: HostState, name: Name) -> Explanation:
    """Explain a service by its canonical name."""
    links: dict[Name, Link] = {}
    ailing = _ailing(host)
    waiting = [(name, _Question.NOT_WELL)]
    while waiting:
        current, question = waiting.pop()
        if current not in links:
            service = host.services[current]
            causes = _causes(host, service, question, ailing)
            links[current] = _link(host, service, causes)
            waiting += reversed(causes.items())
    return Explanation(tuple(links.values()))


def _ailing(host: HostState) -> frozenset[Name]:
    """Return the services that are not well, and those that something of the kind is behind."""
    ill = [
        name
        for name, service in host.services.items()
        if not service.view.is_satisfied
        or service.unhealthy is not None
        or service.output_trouble is not None
    ]
    return frozenset((*ill, *host.graph.dependents(ill)))


def _causes(
    host: HostState, service: Service, question: _Question, ailing: frozenset[Name]
) -> _Causes:
    if service.view.must_stop or service.state is State.STOPPING:
        return _causes_of_going(host, service, question)
    if question is not _Question.NOT_WELL:
        return {}
    if service.state is State.STOPPED:
        held = hold(host, service)
        is_in_the_way = held is not None and held.kind is HoldKind.RIVALS
        next_question = _Question.NOT_GONE if is_in_the_way else _Question.NOT_WELL
        return dict.fromkeys(held.names if held is not None else (), next_question)
    behind = _behind(host, service) if service.state is State.RUNNING else ()
    return dict.fromkeys((name for name in behind if name in ailing), _Question.NOT_WELL)


def _behind(host: HostState, service: Service) -> tuple[Name, ...]:
    """Return what makes a service that runs less than it should be, once that is not well."""
    name, graph = service.spec.name, host.graph
    return (*graph.needs[name], *(graph.wants[name] if service.spec.is_stage else ()))


def _causes_of_going(host: HostState, service: Service, question: _Question) -> _Causes:
    found: _Causes = {}
    if question is not _Question.NOT_GONE and service.death is None:
        found |= dict.fromkeys(_takers(host, service), _Question.GOING)
    if question is not _Question.GOING and service.view.must_stop:
        found |= dict.fromkeys(stops_after(host, service), _Question.NOT_GONE)
    return found


def _link(host: HostState, service: Service, causes: Mapping[Name, object]) -> Link:
    name = service.spec.name
    found = snapshot(host, name)
    return Link(
        snapshot=found,
        why=_why(host, service, found.reason, is_ailing=bool(causes)),
        since=_since(host, service, found.reason),
        causes=tuple(causes),
        next=what_next(host, service),
        needed_by=tuple(
            other
            for other in sorted(host.graph.needed_by[name])
            if host.is_wanted(host.services[other])
        ),
    )


# In words


def _why(host: HostState, service: Service, found: Reason | None, *, is_ailing: bool) -> str:
    is_going = service.view.must_stop or service.state is State.STOPPING
    if is_going and (found is None or service.view.must_stop):
        return _why_it_goes(host, service)
    if service.is_up and service.note is not None:
        return "; ".join([service.status_text, *([found.text] if found is not None else [])])
    if found is not None:
        return _in_words(service, found)
    if service.state is State.STARTING:
        return "is being started"
    if host.is_shutting_down:
        is_kept = service.state is State.RUNNING
        return "kept up for guests" if is_kept else "virtsupd is shutting down"
    return "runs, though not all is well behind it" if is_ailing else "as wanted"


def _in_words(service: Service, found: Reason) -> str:
    if found.kind is ReasonKind.BACKING_OFF:
        return service.setback
    return "disabled" if found.kind is ReasonKind.DISABLED else found.text


def _why_it_goes(host: HostState, service: Service) -> str:
    if host.is_shutting_down:
        return "virtsupd is shutting down"
    if service.is_removed:
        return "no longer in the configuration"
    if not service.wanted:
        return f"stopped by {service.wanted_by}" if service.wanted_by else "not wanted"
    takers = _takers(host, service)
    if service.is_marked:
        return f"stops along with {joined(takers)}" if takers else "is restarted"
    return f"falls with {joined(takers)}" if takers else "was stopped, and is wanted again"


def _takers(host: HostState, service: Service) -> tuple[Name, ...]:
    """Return what takes a service along that goes down; () if it goes by itself."""
    name, graph = service.spec.name, host.graph
    if not host.is_wanted(service):
        return ()
    if service.is_marked:
        return tuple(need for need in graph.needs[name] if goes_first(host, host.services[need]))
    return tuple(bond for bond in graph.binds[name] if not host.services[bond].view.holds)


def _since(host: HostState, service: Service, found: Reason | None) -> float | None:
    if _is_told_to_go(host, service, found):
        return service.wanted_since
    if service.view.must_stop:
        return None
    if service.is_up and service.note is not None:
        return service.said_at
    if found is None or found.kind is not ReasonKind.DEGRADED or service.is_stuck:
        return service.since
    return _degraded_since(host, service, found)


def _degraded_since(host: HostState, service: Service, found: Reason) -> float | None:
    """Return when it came to run less well; not before it ran, for what it needs may never have."""
    if found.names:
        missed = min(_left_running(host.services[name]) for name in found.names)
        return max(service.since, missed)
    return (service.unhealthy_at or None) if service.unhealthy is not None else None


def _is_told_to_go(host: HostState, service: Service, found: Reason | None) -> bool:
    """Tell whether it is, or will be, down because somebody said so."""
    if found is not None and found.kind is ReasonKind.STOPPED_BY_OPERATOR:
        return True
    is_going = service.view.must_stop or (service.state is State.STOPPING and found is None)
    return is_going and not service.wanted and not host.is_shutting_down


def _left_running(service: Service) -> float:
    """Return when a service that others need ceased to run, as far back as is known."""
    at = service.since
    for state, began in service.changes:
        if state is State.RUNNING:
            break
        at = began
    return at
