"""What kinds know of their services beside the engine, laid over what the engine says of them."""

from collections.abc import Mapping
from dataclasses import replace

from virtsupd.config.kinds import Remark
from virtsupd.core.chain import Explanation, Link
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot, State

Remarks = Mapping[Name, Remark]


def remarked(snapshot: ServiceSnapshot, remarks: Remarks) -> ServiceSnapshot:
    """Return a snapshot with what is remarkable about its service.

    While it is down that comes before the reason that the engine knows, of which it is the cause.
    """
    remark = remarks.get(snapshot.spec.name)
    if remark is None:
        return snapshot
    warnings = (*snapshot.warnings, *remark.warnings)
    if not remark.says:
        return replace(snapshot, warnings=warnings)
    if snapshot.state is not State.STOPPED:
        text = "; ".join(part for part in (remark.says, snapshot.status_text) if part)
        return replace(snapshot, status_text=text, warnings=warnings)
    reason = snapshot.reason
    if reason is not None:
        reason = replace(reason, text=_because(remark.says, reason.text))
    return replace(snapshot, reason=reason, warnings=warnings)


def explained(found: Explanation, remarks: Remarks) -> Explanation:
    """Return an explanation with the same on each of its links."""
    return replace(found, links=tuple(_link(link, remarks) for link in found.links))


def _link(link: Link, remarks: Remarks) -> Link:
    remark, why = remarks.get(link.name), link.why
    if remark is not None and remark.says and link.snapshot.state is State.STOPPED:
        why = _because(remark.says, why)
    return replace(link, snapshot=remarked(link.snapshot, remarks), why=why)


def _because(says: str, text: str) -> str:
    return f"{says} ({text})" if text else says
