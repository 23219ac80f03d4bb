"""What all tests share."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# This machine may be busy: a slow example is no failure. The same examples are tried every time.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def _module(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items):
    """The slow ones first: with several workers, none is left alone with them in the end."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(scope="session")
def grid_study() -> ModuleType:
    """An invented study of a grid (`grid_study.py`)."""
    return _module("grid_study", Path(__file__).with_name("grid_study.py"))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for files that may yet become visible."""
    monkeypatch.setattr("fastpipe.files.PATIENCE_SECONDS", 0.0)


# --- faults: a sample in every test run, the whole campaign with `make faults`

_campaign = _module("campaign", Path(__file__).parent / "faults" / "campaign.py")
CAMPAIGN = _campaign.Campaign(
    whole=os.environ.get("FAULTS") == "all", seed=int(os.environ.get("FAULTS_SEED", "0"))
)


@pytest.fixture
def tally(request):
    """The numbers of a fault test: how often to try, with which random numbers, what came out."""
    return CAMPAIGN.tally(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    CAMPAIGN.note(item, report)
    return report


def pytest_sessionfinish(session):
    if CAMPAIGN.whole:
        CAMPAIGN.write(Path(__file__).parents[1] / "docs" / "faults.md")
