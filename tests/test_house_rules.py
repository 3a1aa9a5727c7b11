"""Rules of the house that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtsupd.config.load import load
from virtsupd.services.registry import KINDS

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCES = CHECKOUT / "src/virtsupd"
MODULES = sorted(path for path in SOURCES.rglob("*.py") if path.name != "__init__.py")
CONFIGURATIONS = sorted((CHECKOUT / "config").rglob("*.toml"))
UNITS = sorted((CHECKOUT / "units").rglob("*.toml"))
TESTS = sorted((CHECKOUT / "tests").rglob("test_*.py"))


def name(path: Path) -> str:
    """Name a parameter by its path in the checkout."""
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_module_has_its_test_file(module: Path) -> None:
    """It mirrors the module in tests/unit, or stands in tests/process where children are needed.

    A module that only declares (data, protocols) does nothing that could be tested.
    """
    if not does_something(ast.parse(module.read_text())):
        return
    file = f"test_{module.stem.strip('_')}.py"
    mirror = CHECKOUT / "tests/unit" / module.relative_to(SOURCES).parent / file
    assert mirror.exists() or (CHECKOUT / "tests/process" / file).exists(), f"no {name(mirror)}"


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=name)
def test_every_example_configuration_loads(file: Path) -> None:
    assert load(file, KINDS).specs


@pytest.mark.parametrize("file", UNITS, ids=name)
def test_every_unit_file_loads(file: Path, tmp_path: Path) -> None:
    unit = file.stem.replace("%2F", "/")
    host = tmp_path / "host.toml"
    tables = (
        "[virtlog]\n[virtlock]\n[libvirt]\n[qemu_binfmt]\n[qemu_guest_agent]\n[ganeti]\n"
        '[hurd_vm]\nimage = "/hurd.img"\n[build_vm]\nimage = "/build.img"\n'
    )
    host.write_text(f'{tables}[service.asker]\ncommand = ["/bin/true"]\nwants = ["{unit}"]\n')
    assert unit in {spec.name for spec in load(host, KINDS).specs}


@pytest.mark.parametrize("file", TESTS, ids=name)
def test_tests_wait_for_facts_and_never_for_a_while(file: Path) -> None:
    """Waiting under a deadline is written once, in tests/support."""
    assert list(fixed_sleeps(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize("file", TESTS, ids=name)
def test_tests_do_not_patch_our_own_modules(file: Path) -> None:
    assert not {"unittest.mock", "mock"} & set(imports(ast.parse(file.read_text())))


def does_something(tree: ast.AST) -> bool:
    """Whether a function of the module has more of a body than a docstring and an ellipsis."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions
        for statement in function.body
    )


def fixed_sleeps(tree: ast.AST) -> Iterator[str]:
    """Yield the place of each `….sleep(NUMBER)` above zero."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=int() | float() as t)]
            ) if t > 0:
                yield f"line {node.lineno}: sleep({t})"
            case _:
                continue


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the name of every module imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str() as module, names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case _:
                continue
