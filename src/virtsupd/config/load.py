"""Loading a configuration as a whole: every file read, every table checked, one sound graph.

Either all of it is good, or `ConfigError` lists everything that is wrong, in all files at once. A
table that is refused still takes part as a name, so that what refers to it is not reported missing;
the graph is checked only when every file could be read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from virtsupd.config.addresses import address_clashes
from virtsupd.config.build import build_service, service_problems
from virtsupd.config.drafts import (
    Draft,
    Findings,
    TurnedOn,
    built_in,
    check_top_level,
    host_layers,
    make_drafts,
    service_layers,
    turned_on,
    unit_layers,
)
from virtsupd.config.generated import reading
from virtsupd.config.host import access_problems, access_settings, host_problems, host_settings
from virtsupd.config.kinds import GuestHost, Registry, Remark
from virtsupd.config.layers import below, combined
from virtsupd.config.machines import machine_clashes
from virtsupd.config.model import AccessTable, HostTable, ServiceTable
from virtsupd.config.problems import HostFault, Layer, problem_at, validation_problems
from virtsupd.config.settings import (
    AccessSettings,
    GeneratedDirectory,
    GeneratedFile,
    HostSettings,
)
from virtsupd.config.units import unit_names
from virtsupd.core.domain import DomainSpec
from virtsupd.core.frozen import frozen
from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name, parse_name
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import ConfigError


@frozen
class Loaded:
    """A sound configuration."""

    path: Path
    host: HostSettings
    access: AccessSettings
    specs: tuple[ServiceSpec, ...]
    graph: ServiceGraph
    """Of `specs`."""
    absent: frozenset[str]
    """Built-in names that are not part of it; wants and order-only edges may name them."""
    generated: tuple[GeneratedFile, ...]
    """Files to be written before the services start that read them."""
    directories: tuple[GeneratedDirectory, ...]
    """Directories to be made before that."""
    sources: Mapping[Name, tuple[str, ...]]
    """By canonical name: the files (and tables) a service was read from, later ones winning."""
    warnings: tuple[str, ...]
    """What works, but not as the files may make believe."""
    guest_hosts: Mapping[Name, GuestHost]
    """By canonical name: the services that guests run through which are no services."""
    accounts: frozenset[str]
    """Users and groups that services make before others need them."""
    addresses: Mapping[str, str]
    """Where a libvirt is that guests name by its URI, if not where its library looks."""
    host_faults: Callable[[], tuple[HostFault, ...]]
    """Asks this host, as it is now, what makes programs of built-in kinds refuse their tables."""
    host_remarks: Callable[[], tuple[str, ...]]
    """Asks it for what is worth knowing and refuses nothing, a line each."""
    remarks: Callable[[], Mapping[Name, Remark]]
    """Asks built-in kinds what is worth knowing of their services now, by canonical name."""


def load(path: Path, kinds: Registry) -> Loaded:
    """Read a host file with all that belongs to it.

    Reads drop-ins, unit files and built-in units; looks accounts up. Writes nothing.

    Raises:
        ConfigError: with every problem, each a line with file, key, value found and what is allowed.
    """
    return _Loading(path.absolute(), kinds).run()


class _Loading:
    """One run of `load`."""

    def __init__(self, path: Path, kinds: Registry) -> None:
        self._path = path
        self._kinds = kinds
        self._findings = Findings()
        self._drafts: dict[Name, Draft] = {}
        """By canonical name."""
        self._specs: dict[Name, ServiceSpec] = {}
        self._refused: set[Name] = set()

    def run(self) -> Loaded:
        layers = host_layers(self._path, self._findings)
        check_top_level(layers, self._kinds, self._findings)
        host = self._host(below(layers, "host"))
        on = self._build_all(layers, host)
        guest_hosts = self._guest_hosts(on)
        self._mark_guarded(on)
        self._note_files(on)
        self._check_logs()
        self._check_domains()
        self._check_addresses(host)
        self._check_machines()
        absent = unit_names() - self._provided()
        addresses = {uri: at for built in on.built for uri, at in built.addresses.items()}
        graph = self._graph(absent)
        access = self._access(below(layers, "access"))
        if self._findings.problems or graph is None or access is None:
            raise ConfigError(tuple(dict.fromkeys(self._findings.problems)))
        return Loaded(
            path=self._path,
            host=host,
            access=access,
            specs=tuple(self._specs.values()),
            graph=graph,
            absent=absent,
            generated=tuple(file for built in on.built for file in built.files),
            directories=tuple(item for built in on.built for item in built.directories),
            sources={name: draft.sources for name, draft in self._drafts.items()},
            warnings=tuple(self._findings.warnings),
            guest_hosts=guest_hosts,
            accounts=frozenset(name for built in on.built for name in built.accounts),
            addresses=addresses,
            host_faults=lambda: tuple(
                fault for asked in self._findings.host_faults for fault in asked()
            ),
            host_remarks=lambda: tuple(
                remark for asked in self._findings.host_remarks for remark in asked(addresses)
            ),
            remarks=lambda: {
                graph.canonical[name]: remark
                for built in on.built
                for name, remark in built.remarks().items()
                if name in graph.canonical
            },
        )

    def _host(self, layers: Sequence[Layer]) -> HostSettings:
        data = combined(layers)
        try:
            table = HostTable.model_validate(data)
        except ValidationError as error:
            self._note(validation_problems(error, HostTable, data, layers))
            bad = {details["loc"][0] for details in error.errors(include_url=False)}
            if "unit_dirs" in bad:
                self._findings.is_complete = False
            table = HostTable.model_validate({k: data[k] for k in data if k not in bad})
        where = layers or (Layer(str(self._path), {}, ("host",)),)
        self._note(problem_at(where, keys, text) for keys, text in host_problems(table))
        return host_settings(table)

    def _build_all(self, layers: Sequence[Layer], host: HostSettings) -> TurnedOn:
        on = turned_on(layers, self._kinds, host, self._findings)
        units = unit_layers(host.unit_dirs, self._findings)
        services = service_layers(layers, self._findings)
        drafts = make_drafts(on, units, services, self._kinds, self._findings)
        for draft in drafts.values():
            self._build(draft, host)
        self._add_stages(on, host)
        return on

    def _add_stages(self, on: TurnedOn, host: HostSettings) -> None:
        """Add targets and conditions, built in or of a machine, that something pulls in and nobody provides."""
        of_kinds = {name for kind in self._kinds.values() for name in kind.units}
        stages = (unit_names() - of_kinds) | on.offered.keys()
        while missing := (_pulled_in(self._specs.values()) & stages) - self._provided():
            for name in sorted(missing):
                self._build(built_in(Name(name), on), host)

    def _build(self, draft: Draft, host: HostSettings) -> None:
        data, layers = draft.data, draft.layers
        if draft.is_refused:
            self._add(draft, _stand_in(draft.name, data, ""), is_refused=True)
            return
        source = layers[-1].file
        try:
            table = ServiceTable.model_validate(data)
        except ValidationError as error:
            self._note(validation_problems(error, ServiceTable, data, layers))
            self._add(draft, _stand_in(draft.name, data, source), is_refused=True)
            return
        faults = tuple(service_problems(table))
        self._note(problem_at(layers, keys, text) for keys, text in faults)
        spec = build_service(draft.name, table, host, source)
        self._add(draft, spec, is_refused=bool(faults))

    def _add(self, draft: Draft, spec: ServiceSpec, *, is_refused: bool) -> None:
        other = self._drafts.get(spec.name)
        if other is not None:
            text = f"{spec.name!r} is already the name of a service in {other.sources[-1]}"
            self._findings.problems.append(problem_at(draft.layers, ("provides",), text))
            return
        self._drafts[spec.name] = draft
        self._specs[spec.name] = spec
        if is_refused:
            self._refused.add(spec.name)

    def _guest_hosts(self, on: TurnedOn) -> Mapping[Name, GuestHost]:
        """Return what kinds know of guests, by canonical name, and mark the services in question."""
        named = {name: host for built in on.built for name, host in built.guest_hosts.items()}
        found: dict[Name, GuestHost] = {}
        for name, spec in self._specs.items():
            for provided in spec.provides:
                if provided in named:
                    found[name] = named[provided]
                    self._specs[name] = replace(spec, hosts_guests=True)
        return found

    def _mark_guarded(self, on: TurnedOn) -> None:
        for name, spec in self._specs.items():
            for provided in spec.provides:
                if provided in on.guarded:
                    self._specs[name] = replace(spec, guard=on.guarded[provided])

    def _note_files(self, on: TurnedOn) -> None:
        """Let services differ when what they read of generated files does."""
        for file in (file for built in on.built for file in built.files):
            for name, spec in self._specs.items():
                if file.reader in spec.provides:
                    self._specs[name] = reading(spec, file)

    def _check_logs(self) -> None:
        owner: dict[str, Name] = {}
        for name, spec in self._specs.items():
            file = spec.process.log.file if spec.process is not None else ""
            if file and name not in self._refused:
                first = owner.setdefault(file, name)
                if first != name:
                    text = f"{file} is already the log of {first}; each service needs its own"
                    self._note([problem_at(self._drafts[name].layers, ("log", "file"), text)])

    def _check_domains(self) -> None:
        owner: dict[DomainSpec, Name] = {}
        for name, spec in self._specs.items():
            if spec.domain is not None and name not in self._refused:
                first = owner.setdefault(spec.domain, name)
                if first != name:
                    text = f"{spec.domain.domain!r} is already the domain of {first}"
                    self._note([problem_at(self._drafts[name].layers, ("domain",), text)])

    def _check_addresses(self, host: HostSettings) -> None:
        sound = (spec for name, spec in self._specs.items() if name not in self._refused)
        for name, index, text in address_clashes(sound, host):
            self._note([problem_at(self._drafts[name].layers, ("sockets", index), text)])

    def _check_machines(self) -> None:
        sound = [spec for name, spec in self._specs.items() if name not in self._refused]
        for name, text in machine_clashes(sound):
            self._note([problem_at(self._drafts[name].layers, (), text)])

    def _graph(self, absent: frozenset[str]) -> ServiceGraph | None:
        if not self._findings.is_complete:
            return None
        try:
            return ServiceGraph.build(self._specs.values(), absent=absent)
        except GraphError as error:
            self._note(error.problems)
            return None

    def _access(self, layers: Sequence[Layer]) -> AccessSettings | None:
        data = combined(layers)
        canonical = {n: name for name, spec in self._specs.items() for n in spec.provides}
        try:
            table = AccessTable.model_validate(data)
        except ValidationError as error:
            self._note(validation_problems(error, AccessTable, data, layers))
            return None
        faults = tuple(access_problems(table, canonical))
        self._note(problem_at(layers, keys, text) for keys, text in faults)
        return None if faults else access_settings(table, canonical)

    def _provided(self) -> frozenset[str]:
        return frozenset(name for spec in self._specs.values() for name in spec.provides)

    def _note(self, problems: Iterable[str]) -> None:
        self._findings.problems.extend(problems)


def _pulled_in(specs: Iterable[ServiceSpec]) -> set[str]:
    return {name for spec in specs for name in (*spec.requires, *spec.binds_to, *spec.wants)}


def _stand_in(name: Name, data: Mapping[str, object], source: str) -> ServiceSpec:
    """Return a service with the names of a table that was refused, and nothing else of it."""
    raw = data.get("provides")
    provides: list[Name] = []
    for text in raw if isinstance(raw, list) else ():
        try:
            provides.append(parse_name(str(text)))
        except ValueError:
            continue  # reported already, as a value of the key
    names = tuple(dict.fromkeys(provides)) or (name,)
    return ServiceSpec(name=names[0], provides=names, source=source)
