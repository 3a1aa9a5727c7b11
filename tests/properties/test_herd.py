"""Laws of the herd codec: any input ends in a plan or a known error, and every reply is readable."""

from contextlib import suppress
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_sexp import data
from tests.support.herd_services import FACTS, SLEEPER

from virtsupd.control import herd, herd_replies
from virtsupd.control.herd_records import service_record
from virtsupd.control.sexp import Datum, Reader, Symbol, parse
from virtsupd.control.sexp_writer import write
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.exits import from_wait_status
from virtsupd.core.snapshot import ExitRecord, Reason, ReasonKind, ServiceSnapshot, State
from virtsupd.errors import ProtocolError, UnknownServiceError, VirtsupdError

texts = st.text(max_size=12) | st.text(st.characters(codec=None), max_size=12)
times = st.floats(0, 2**33)
words = st.sampled_from(["status", "start", "stop", "doc", "help", "reload", "frob"]) | texts
names = st.sampled_from(["root", "shepherd", "web"]) | texts

commands = st.builds(
    herd.HerdCommand,
    words,
    names,
    st.lists(texts, max_size=3).map(tuple),
    texts,
    st.booleans(),
)
reasons = st.builds(
    Reason, st.sampled_from(ReasonKind), texts, st.none() | times, st.lists(texts).map(tuple)
)
exits = st.builds(ExitRecord, st.integers(0, 0xFFFF).map(from_wait_status), times)


@st.composite
def snapshots(draw: st.DrawFn) -> ServiceSnapshot:
    """Draw a sleeper in any condition."""
    return replace(
        SLEEPER,
        spec=replace(SLEEPER.spec, description=draw(texts)),
        state=draw(st.sampled_from(State)),
        pid=draw(st.none() | st.integers(1, 2**22)),
        reason=draw(st.none() | reasons),
        exits=tuple(draw(st.lists(exits, max_size=3))),
        changes=tuple(draw(st.lists(st.tuples(st.sampled_from(State), times), max_size=3))),
        respawns=tuple(draw(st.lists(times, max_size=3))),
        start_failures=tuple(draw(st.lists(times, max_size=3))),
        status_text=draw(texts),
    )


def datum_of(command: herd.HerdCommand) -> Datum:
    """Return a command as herd would send it."""
    service: Datum = command.service if command.is_quoted else Symbol(command.service)
    return (
        Symbol("shepherd-command"),
        (Symbol("version"), 0),
        (Symbol("action"), Symbol(command.action)),
        (Symbol("service"), service),
        (Symbol("arguments"), command.arguments),
        (Symbol("directory"), command.directory),
    )


def is_reply(reply: bytes) -> bool:
    """Whether herd can take the bytes apart: four fields, lists of lines, whole times."""
    datum = parse(reply)
    assert isinstance(datum, tuple)
    heads = [entry[0] for entry in datum[1:] if isinstance(entry, tuple)]
    return heads == [Symbol(name) for name in ("version", "result", "error", "messages")]


@given(commands)
def test_a_command_comes_back_from_the_wire(command: herd.HerdCommand) -> None:
    assert herd.parse_command(datum_of(command)) == command


@given(data)
def test_any_datum_is_a_command_or_refused(datum: Datum) -> None:
    try:
        herd.parse_command(datum)
    except ProtocolError:
        return
    raise AssertionError("a random datum was taken for a command")


@given(commands, st.data())
def test_a_changed_field_is_a_command_or_refused(
    command: herd.HerdCommand, choice: st.DataObject
) -> None:
    datum = datum_of(command)
    assert isinstance(datum, tuple)
    place = choice.draw(st.integers(0, 5))
    changed = (*datum[:place], choice.draw(data), *datum[place + 1 :])
    with suppress(ProtocolError):
        herd.parse_command(changed)


def answered(command: herd.HerdCommand) -> bytes:
    """Return the answer that needs no backend, or an empty status where one is needed."""
    try:
        request = herd.plan(command)
    except VirtsupdError as error:
        return herd.render_error(error, command)
    if isinstance(request, herd.Canned):
        return request.reply
    return herd_replies.render_root_status((), FACTS)


@given(commands, texts)
def test_every_command_has_a_plan_or_an_answer(command: herd.HerdCommand, message: str) -> None:
    assert is_reply(answered(command))
    assert is_reply(herd.render_failure(message, command))
    assert is_reply(herd.render_error(UnknownServiceError(message, message), command))


@given(snapshots(), st.sampled_from(Verb), st.sampled_from(Result), texts)
def test_every_reply_is_readable(
    snapshot: ServiceSnapshot, verb: Verb, result: Result, message: str
) -> None:
    answer = Answer(1, (Report(snapshot.spec.name, result, message),))
    assert is_reply(herd_replies.render_answer(verb, answer, snapshot))
    assert is_reply(herd_replies.render_status(snapshot, recent=[(1.5, message)]))
    assert is_reply(herd_replies.render_root_status([snapshot], FACTS))


@given(snapshots())
def test_no_number_of_a_record_but_the_delay_has_a_fraction(snapshot: ServiceSnapshot) -> None:
    record = service_record(snapshot)
    assert isinstance(record, tuple)
    kept = [
        one for one in record if not isinstance(one, tuple) or one[0] != Symbol("respawn-delay")
    ]
    assert not has_float(tuple(kept))


def has_float(datum: Datum) -> bool:
    """Whether a float stands anywhere in a datum, or in the text it is written as."""
    if isinstance(datum, tuple):
        return any(map(has_float, datum))
    return isinstance(datum, float)


@given(commands)
def test_the_reader_hands_a_written_command_over(command: herd.HerdCommand) -> None:
    reader = Reader()
    written = write(datum_of(command)).encode()
    datum = [
        found for index in range(len(written)) if (found := reader.feed(written[index : index + 1]))
    ]
    assert len(datum) == 1
    assert isinstance(herd.parse_command(datum[0]), herd.HerdCommand)
