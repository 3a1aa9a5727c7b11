from pathlib import Path

from virtsupd.services.firmware import FirmwareDescriptions


def package(root: Path, **descriptions: str) -> str:
    directory = root / "share/qemu/firmware"
    directory.mkdir(parents=True)
    for name, text in descriptions.items():
        (directory / f"{name}.json").write_text(text)
    return str(root)


def test_nothing_becomes_nothing() -> None:
    assert FirmwareDescriptions.read(()) == FirmwareDescriptions()


def test_descriptions_get_names_that_nobody_else_gives(tmp_path: Path) -> None:
    first = package(tmp_path / "a", ovmf='{"a": 1}', other="{}")
    second = package(tmp_path / "b", ovmf='{"b": 1}')
    found = FirmwareDescriptions.read((first, second))
    assert [(str(file.path), file.content) for file in found.files] == [
        ("/etc/qemu/firmware/other.virtsupd.json", "{}"),
        ("/etc/qemu/firmware/ovmf.virtsupd.json", '{"a": 1}'),
    ]
    assert found.problems == ()


def test_what_libvirt_would_stumble_over_is_named_with_its_place(tmp_path: Path) -> None:
    """One bad file there, and libvirt finds no firmware at all."""
    bad = package(tmp_path / "a", bad="[]", worse="{")
    empty = package(tmp_path / "b")
    found = FirmwareDescriptions.read((bad, empty))
    assert found.files == ()
    assert [keys for keys, _ in found.problems] == [("firmwares", 0)] * 2 + [("firmwares", 1)]
