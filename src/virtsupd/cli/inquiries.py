"""The verbs that ask about services, and the services' own actions."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.errors import VirtsupdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import Action, Service

_COMPLETION_SECONDS = 1.0


def run(session: Session) -> int:
    """Carry out doc, actions, cat, an action, or what the completion scripts ask; return 0."""
    name = session.request.verb.name
    if name == "cat":
        return _cat(session)
    if name == "ACTION":
        return _act(session)
    if name.startswith("complete-"):
        return _complete(session)
    return _describe(session)


def _describe(session: Session) -> int:
    """Print what services are (doc), or their actions alone (actions)."""
    services = session.services(session.request.names)
    is_doc = session.request.verb.name == "doc"
    if session.request.json:
        session.say_json({"services": [_document(one, is_doc=is_doc) for one in services]})
        return 0
    for service in services:
        session.say("\n".join(_doc(service) if is_doc else _actions(service)))
    return 0


def _document(service: Service, *, is_doc: bool) -> dict[str, object]:
    document: dict[str, object] = {"name": service["name"], "actions": service["actions"]}
    if is_doc:
        document |= {"provides": service["provides"], "description": service["description"]}
    return document


def _doc(service: Service) -> list[str]:
    about = harmless(service["description"]) or "no description"
    others = service["provides"][1:]
    return [
        f"{service['name']}: {about}",
        *([f"  also called {', '.join(others)}"] if others else []),
        *_table(service),
    ]


def _actions(service: Service) -> list[str]:
    if not service["actions"]:
        return [f"{service['name']} has no actions of its own"]
    return [f"{service['name']}:", *_table(service)]


def _table(service: Service) -> list[str]:
    """Return the actions of a service, each as it is typed."""
    typed = [(_typed(action, service), action["description"]) for action in service["actions"]]
    width = max((len(left) for left, _ in typed), default=0)
    return [f"  {left:<{width}}  {harmless(about)}".rstrip() for left, about in typed]


def _typed(action: Action, service: Service) -> str:
    return f"virtsupctl {action['name']} {service['name']}"


def _cat(session: Session) -> int:
    texts = [session.call("Cat", {"name": name})["text"] for name in session.request.names]
    if session.request.json:
        named = zip(session.request.names, texts, strict=True)
        session.say_json({"definitions": [{"name": name, "text": text} for name, text in named]})
    else:
        session.say("\n\n".join(text.rstrip("\n") for text in texts))
    return 0


def _act(session: Session) -> int:
    name, *arguments = session.request.names
    action = session.request.action
    call = {"name": name, "action": action, "arguments": arguments, "terminal": True}
    reply = session.call("Act", call)
    if reply.get("run"):
        from virtsupd.cli import terminal  # noqa: PLC0415  most actions do without it

        return terminal.run(session, reply["run"])
    if session.request.json:
        session.say_json({"lines": reply["lines"]})
        return 0
    for line in reply["lines"]:
        session.say(harmless(line) if session.out.isatty() else line)
    return 0


def _complete(session: Session) -> int:
    """Print the words a completion script can offer; nothing at all if virtsupd cannot be asked."""
    session.client.timeout = _COMPLETION_SECONDS
    try:
        services = session.client.call("Status", {"names": session.request.names})["services"]
    except (VirtsupdError, TimeoutError):
        return 1
    if isinstance(services, list):
        is_names = session.request.verb.name == "complete-names"
        words = {word for service in services for word in _words(service, is_names=is_names)}
        session.say("\n".join(sorted(words)))
    return 0


def _words(service: Service, *, is_names: bool) -> list[str]:
    return service["provides"] if is_names else [action["name"] for action in service["actions"]]
