from virtsupd.machine.facts import Block, Forward, MachineFacts
from virtsupd.services.machine_info import rows

FACTS = MachineFacts(
    state="running",
    version="7.2.22",
    accelerator="tcg",
    processors=2,
    memory_bytes=512 << 20,
    blocks=(
        Block("ide0-hd0", "/a.img", "raw", is_read_only=False, is_volatile=True),
        Block("cd", "/b.iso", "raw", is_read_only=True, is_volatile=False),
    ),
    forwards=(Forward("tcp", "127.0.0.1", 10022, 2222),),
    vnc=None,
)


def test_all_of_it_is_shown_a_row_each() -> None:
    assert rows(FACTS, ["monitor"]) == [
        ("state", "running; reached monitor"),
        ("qemu", "7.2.22, tcg"),
        ("processors", "2"),
        ("memory", "512 MiB"),
        ("disk", "ide0-hd0: /a.img, raw, nothing written is kept"),
        ("disk", "cd: /b.iso, raw, read-only"),
        ("port", "127.0.0.1:10022 leads to 2222 (tcp)"),
        ("display", "none"),
    ]
