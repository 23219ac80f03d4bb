"""An invented study, written and collected once; each test gets its own copy of the database."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from fastpipe.reporting.tables import Tables
from fastpipe.stages.collect import collect


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return _module("synthetic")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def collected(synthetic, tmp_path_factory) -> Path:
    """The database of the invented study."""
    root = tmp_path_factory.mktemp("invented") / "results"
    out = root / "studies" / "demo"
    collect(synthetic.write_results(root), out=out, work=root / ".work", identity="i")
    return out / "study.duckdb"


def alterations(database: Path, folder: Path) -> Iterator[Callable[..., Tables]]:
    """Open copies of a database after running statements on them."""
    opened: list[Tables] = []

    def alter(*statements: str) -> Tables:
        own = folder / f"{database.parent.name}-{len(opened)}"
        own.mkdir()
        copy = own / "altered.duckdb"
        shutil.copyfile(database, copy)
        with duckdb.connect(str(copy)) as connection:
            for statement in statements:
                connection.execute(statement)
        opened.append(Tables(copy, own))
        return opened[-1]

    yield alter
    for tables in opened:
        tables.__exit__()


@pytest.fixture
def altering() -> Callable[[Path, Path], Iterator[Callable[..., Tables]]]:
    """`alterations`, for files with a database of their own."""
    return alterations


@pytest.fixture
def altered(collected, tmp_path) -> Iterator[Callable[..., Tables]]:
    """Open a copy of the database after running statements on it."""
    yield from alterations(collected, tmp_path)


@pytest.fixture
def tables(altered) -> Tables:
    """The invented study as it is."""
    return altered()


@pytest.fixture(scope="session")
def collected_fast(synthetic, tmp_path_factory) -> Path:
    """The database of the invented studies of the FAST paper."""
    root = tmp_path_factory.mktemp("invented-fast") / "results"
    out = root / "studies" / "fast"
    collect(synthetic.write_fast_results(root), out=out, work=root / ".work", identity="i")
    return out / "study.duckdb"


@pytest.fixture
def altered_fast(collected_fast, tmp_path) -> Iterator[Callable[..., Tables]]:
    """As `altered`, for the studies of the FAST paper."""
    yield from alterations(collected_fast, tmp_path)


@pytest.fixture
def fast_tables(altered_fast) -> Tables:
    """The invented studies of the FAST paper as they are."""
    return altered_fast()


@pytest.fixture(scope="session")
def synthetic_grid() -> ModuleType:
    return _module("synthetic_grid")


@pytest.fixture(scope="session")
def grid_database(synthetic_grid, tmp_path_factory) -> Path:
    """The database of the invented studies of the hyperparameters paper."""
    path = tmp_path_factory.mktemp("invented-grid") / "study.duckdb"
    synthetic_grid.write_grid_database(path)
    return path


@pytest.fixture
def altered_grid(grid_database, tmp_path) -> Iterator[Callable[..., Tables]]:
    """As `altered`, for the studies of the hyperparameters paper."""
    yield from alterations(grid_database, tmp_path)


@pytest.fixture
def grid_tables(altered_grid) -> Tables:
    """The invented studies of the hyperparameters paper as they are."""
    return altered_grid()
