from virtsupd.config.kinds import Built, Kind, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.settings import HostSettings


def test_a_kind_that_changes_nothing_leaves_nothing_behind() -> None:
    kind = Kind(("x",), lambda: KindParts(KindTable, lambda table, context: Built({})))
    built = kind.build(KindTable(), KindContext(HostSettings(), {}))
    assert built == Built(changes={}, files=(), directories=(), problems=(), warnings=())
