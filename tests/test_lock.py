"""The check of requirements.lock (`.ci/lock.py`)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

LOCK = "# a comment\nalpha==1.2\nbeta-two==3.0\n"


def script() -> ModuleType:
    path = Path(__file__).parents[1] / ".ci" / "lock.py"
    spec = importlib.util.spec_from_file_location("lock", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a small lock, small requirements and what is installed made up."""
    module = script()
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setattr(module, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(
        module, "declared", lambda: [Requirement("Alpha>=1"), Requirement("beta_two")]
    )
    monkeypatch.setattr(module, "installed", lambda: {"alpha": "1.2", "beta-two": "3.0"})
    return module


def test_a_lock_in_step_has_not_drifted(lock: ModuleType) -> None:
    assert lock.drift() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LOCK.replace("1.2", "1.3"), "alpha is locked at 1.3 but 1.2 is installed"),
        (LOCK.replace("alpha==1.2\n", ""), "alpha 1.2 is needed but not locked"),
        (LOCK + "gamma==1\n", "gamma is locked but not needed"),
    ],
)
def test_a_drifted_lock_is_told(lock: ModuleType, text: str, problem: str) -> None:
    lock.LOCK.write_text(text)
    assert lock.drift() == [problem]


def test_a_version_outside_the_declared_range_is_told(
    lock: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        lock, "declared", lambda: [Requirement("Alpha>=2"), Requirement("beta.two<3")]
    )
    assert lock.drift() == [
        "Alpha>=2 is declared but 1.2 is locked",
        "beta.two<3 is declared but 3.0 is locked",
    ]


def test_an_upgraded_package_is_told(lock: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "installed", lambda: {"alpha": "1.2", "beta-two": "3.1"})
    assert lock.drift() == ["beta-two is locked at 3.0 but 3.1 is installed"]


def test_the_real_requirements_and_all_that_they_need_are_found() -> None:
    module = script()
    names = {module.name_of(requirement.name) for requirement in module.declared()}
    assert {"torch", "snakemake", "ruamel-yaml", "pytest"} <= names
    found = module.installed()
    assert names <= found.keys()
    assert "pydantic-core" in found  # through pydantic
    assert not any("+" in version for version in found.values())


def test_the_committed_lock_holds_exact_versions_and_no_address() -> None:
    lines = (Path(__file__).parents[1] / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert len(pinned) > 50
    for line in pinned:
        name, version = line.split("==")
        assert str(Requirement(line)) == line, line
        assert not {"/", ":", "@", "+"} & set(name + version), line
    assert pinned == sorted(pinned, key=lambda line: line.split("==")[0])
