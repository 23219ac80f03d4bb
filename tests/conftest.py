"""What all tests share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# This machine may be busy: a slow example is no failure. The same examples are tried every time.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def grid_study() -> ModuleType:
    """An invented study of a grid (`grid_study.py`)."""
    spec = importlib.util.spec_from_file_location(
        "grid_study", Path(__file__).with_name("grid_study.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
