"""The verb `graph`: what needs what, as a tree, for Graphviz, or as JSON."""

from __future__ import annotations

from virtsupd.cli.overview import FAILED, MARKS, WAITING, group_of
from virtsupd.errors import UnknownServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session
    from virtsupd.cli.style import Style
    from virtsupd.cli.wire import Service

_NEEDS = (("requires", ""), ("binds_to", "bound"), ("wants", "optional"))
"""The edges the tree shows, each with what is said beside the name."""

_DOT_STYLES = {
    "requires": "",
    "binds_to": " [style=bold]",
    "wants": " [style=dashed]",
    "after": " [style=dotted]",
    "conflicts": " [style=dashed, color=red, dir=both]",
}
_DOT_COLORS = {"red": "firebrick", "yellow": "goldenrod", "green": "darkgreen", "dim": "gray50"}
_DOT_SHAPES = {
    "one-shot": "ellipse",
    "target": "hexagon",
    "condition": "hexagon",
    "timer": "diamond",
}


def run(session: Session) -> int:
    """Draw the graph and return 0."""
    graph = Graph(session.services([]))
    names = [graph.canonical(name) for name in session.request.names]
    chosen = graph.closure(names) if names else sorted(graph.services)
    if session.request.json:
        session.say_json(as_document(graph, chosen))
    elif session.request.dot:
        session.say(as_dot(graph, chosen))
    else:
        session.say(as_tree(graph, names or graph.roots(), session.style))
    return 0


class Graph:
    """Services by canonical name, their edges resolved."""

    def __init__(self, services: list[Service]) -> None:
        self.services = {service["name"]: service for service in services}
        self._canonical = {
            name: service["name"] for service in services for name in service["provides"]
        }

    def canonical(self, name: str) -> str:
        """Return the canonical name.

        Raises:
            UnknownServiceError: nothing provides `name`.
        """
        if name not in self._canonical:
            from virtsupd.cli.arguments import nearest  # noqa: PLC0415  only after a mistake

            raise UnknownServiceError(name, nearest(name, list(self._canonical)) or None)
        return self._canonical[name]

    def needs(self, name: str) -> list[tuple[str, str]]:
        """Return what a service needs as (canonical name, remark), in the order it was written."""
        service = self.services[name]
        edges: tuple[tuple[list[str], str], ...] = (
            (service["requires"], _NEEDS[0][1]),
            (service["binds_to"], _NEEDS[1][1]),
            (service["wants"], _NEEDS[2][1]),
        )
        return [
            (self._canonical[other], remark)
            for others, remark in edges
            for other in others
            if other in self._canonical
        ]

    def edges(self, name: str) -> list[tuple[str, str]]:
        """Return all edges of a service as (kind, canonical name of the other end)."""
        service = self.services[name]
        kinds = (
            ("requires", service["requires"]),
            ("binds_to", service["binds_to"]),
            ("wants", service["wants"]),
            ("after", service["after"]),
            ("conflicts", service["conflicts"]),
        )
        return [
            (kind, self._canonical[other])
            for kind, others in kinds
            for other in others
            if other in self._canonical
        ]

    def closure(self, names: list[str]) -> list[str]:
        """Return `names` and all they need, directly or not, sorted."""
        found: set[str] = set()
        open_names = list(names)
        while open_names:
            name = open_names.pop()
            if name not in found:
                found.add(name)
                open_names += [other for other, _ in self.needs(name)]
        return sorted(found)

    def dependents(self, names: list[str]) -> set[str]:
        """Return all that requires `names` or is bound to them, directly or not, without them."""
        found = set(names)
        count = 0
        while count != len(found):
            count = len(found)
            found |= {name for name in self.services if found.intersection(self._must_have(name))}
        return found.difference(names)

    def _must_have(self, name: str) -> list[str]:
        return [other for kind, other in self.edges(name) if kind in ("requires", "binds_to")]

    def roots(self) -> list[str]:
        """Return the services that nothing needs, sorted."""
        needed = {other for name in self.services for other, _ in self.needs(name)}
        return sorted(set(self.services) - needed)


def as_tree(graph: Graph, roots: list[str], style: Style) -> str:
    """Return `roots` with what they need below them; what was drawn before is only named again."""
    drawn: set[str] = set()
    lines: list[str] = []
    for root in roots:
        lines.append(_node(graph, root, "", style))
        lines += _branches(graph, root, "", drawn, style)
    return "\n".join(lines)


def _branches(graph: Graph, name: str, indent: str, drawn: set[str], style: Style) -> list[str]:
    drawn.add(name)
    needs = graph.needs(name)
    lines = []
    for position, (other, remark) in enumerate(needs):
        is_last = position == len(needs) - 1
        branch, below = _strokes(style, is_last=is_last)
        is_repeated = other in drawn and bool(graph.needs(other))
        remarks = ", ".join(part for part in (remark, "see above" if is_repeated else "") if part)
        lines.append(f"{indent}{branch}{_node(graph, other, remarks, style)}")
        if other not in drawn:
            lines += _branches(graph, other, indent + below, drawn, style)
    return lines


def _strokes(style: Style, *, is_last: bool) -> tuple[str, str]:
    if style.is_unicode:
        return ("└─ ", "   ") if is_last else ("├─ ", "│  ")
    return ("`- ", "   ") if is_last else ("|- ", "|  ")


def _node(graph: Graph, name: str, remarks: str, style: Style) -> str:
    service = graph.services[name]
    group = group_of(service)
    mark, color = MARKS[group]
    word = {FAILED: "failed", WAITING: "waiting"}.get(group, service["state"])
    said = ", ".join(part for part in (word if word != "running" else "", remarks) if part)
    return f"{style.paint(color, mark)} {name}{f' ({said})' if said else ''}"


def as_dot(graph: Graph, names: list[str]) -> str:
    """Return the graph of `names` in Graphviz's language: an arrow goes to what is needed."""
    lines = ["digraph virtsupd {", "  rankdir=LR;", "  node [shape=box];"]
    for name in names:
        service = graph.services[name]
        color = _DOT_COLORS[MARKS[group_of(service)][1]]
        shape = _DOT_SHAPES.get(service["kind"], "box")
        lines.append(f"  {_dot_id(name)} [shape={shape}, color={color}];")
    chosen = set(names)
    for name in names:
        lines += [
            f"  {_dot_id(name)} -> {_dot_id(other)}{_DOT_STYLES[kind]};"
            for kind, other in graph.edges(name)
            if other in chosen
        ]
    return "\n".join([*lines, "}"])


def _dot_id(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_document(graph: Graph, names: list[str]) -> dict[str, object]:
    """Return the graph of `names` for --json."""
    chosen = set(names)
    return {
        "nodes": [
            {
                "name": name,
                "kind": graph.services[name]["kind"],
                "state": graph.services[name]["state"],
            }
            for name in names
        ],
        "edges": [
            {"from": name, "to": other, "kind": kind}
            for name in names
            for kind, other in graph.edges(name)
            if other in chosen
        ],
    }
