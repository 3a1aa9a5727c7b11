"""What a predecessor left under names that the configuration no longer has as it did.

A service that was renamed (its old name is among the provisions of another one now) is the same
service: its process goes on under the new name, with its state and its output. Of one that is gone
and has no process, nothing is kept.
"""

import structlog

from virtsupd.core.graph import ServiceGraph
from virtsupd.errors import SpawnError
from virtsupd.process.output import Outputs
from virtsupd.supervisor.records import Records

log = structlog.get_logger()


def take_names(records: Records, outputs: Outputs, graph: ServiceGraph) -> None:
    """Bring what was recorded under the names of `graph`; called once, before the engine is made.

    A renamed service whose new name has a past of its own is left under the old one: what of it
    lives is refused as a leftover when the new one starts.
    """
    kept = records.kept()
    for name, service in kept.items():
        heir = graph.canonical.get(name)
        if heir is None:
            if not service.has_process and service.clean_up is None:
                records.forget(name)
                outputs.close(name)
        elif heir not in kept:
            records.move(name, heir)
            outputs.rename(name, heir)
    _take_outputs(records, outputs, graph)


def _take_outputs(records: Records, outputs: Outputs, graph: ServiceGraph) -> None:
    """Have the logs of stopped services kept too: guests or jobs of theirs may still write to them.

    Those that may have a process come later, with what is recorded of it.
    """
    for name, spec in graph.spec_by_name.items():
        is_stopped = records.record(name) is None
        if is_stopped and spec.process is not None and outputs.path(name).is_fifo():
            try:
                outputs.resume(name, spec.process.log)
            except SpawnError as error:
                log.warning("output of a stopped service is lost", service=name, reason=str(error))
