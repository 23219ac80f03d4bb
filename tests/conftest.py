"""What all tests share."""

import contextlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from fastpipe.config.plan import Job
from fastpipe.files import digest

# This machine may be busy: a slow example is no failure. The same examples are tried every time.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def _module(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items):
    """The slow ones first: with several workers, none is left alone with them in the end. Of these,
    first what needs no built study: one worker is busy while another builds it for all."""
    builds = {item.path for item in items if "built" in item.fixturenames}

    def place(item):
        return item.get_closest_marker("workflow") is None, item.path in builds

    items.sort(key=place)


@pytest.fixture(scope="session")
def grid_study() -> ModuleType:
    """An invented study of a grid (`grid_study.py`)."""
    return _module("grid_study", Path(__file__).with_name("grid_study.py"))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for files that may yet become visible."""
    monkeypatch.setattr("fastpipe.files.PATIENCE_SECONDS", 0.0)


# --- results without computing


def _finish(job: Job) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    for record, identity in job.records.items():
        output = record.with_suffix(".bin")
        output.write_bytes(b"1")
        outputs = {output.name: digest(output)}
        record.write_text(json.dumps({"identity": identity, "inputs": {}, "outputs": outputs}))


@pytest.fixture(scope="session")
def finish() -> Callable[[Job], None]:
    """Write the records of a job as if it had run, each vouching for one small file."""
    return _finish


# --- faults: a sample in every test run, the whole campaign with `make faults`

_campaign = _module("campaign", Path(__file__).parent / "faults" / "campaign.py")
ROOT = Path(__file__).parents[1]
SAVED = ROOT / ".pytest_cache" / "faults"
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
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and CAMPAIGN.whole and report.when == "teardown":
        CAMPAIGN.save(SAVED / f"{worker}.json")
    return report


def pytest_sessionfinish():
    """The table, of an interrupted campaign as well; workers (pytest-xdist) have saved theirs."""
    if CAMPAIGN.whole and "PYTEST_XDIST_WORKER" not in os.environ:
        for file in sorted(SAVED.glob("*.json")):
            CAMPAIGN.add(file)
            file.unlink()
        CAMPAIGN.write(ROOT / "docs" / "faults.md")


# --- pretended GPUs


class Gpus:
    """What torch says of the GPUs of this machine while a test runs."""

    def __init__(self, patch: pytest.MonkeyPatch):
        import torch

        self.count = 0
        self.entered: list[int] = []
        """Indices that were made current."""
        self.reserved = 5 * 2**30
        self.busy: list[int] = []
        """Utilisation [%] still to be told; then NVML is missing."""
        for name in ("is_available", "device_count", "utilization", "device"):
            patch.setattr(torch.cuda, name, getattr(self, f"_{name}"))
        for name, value in {
            "get_device_name": "Pretended GPU",
            "get_device_capability": (8, 0),
            "mem_get_info": (2**30, 8 * 2**30),
            "current_device": 0,
            "reset_peak_memory_stats": None,
            "empty_cache": None,
        }.items():
            patch.setattr(torch.cuda, name, lambda *_, value=value: value)
        patch.setattr(torch.cuda, "max_memory_reserved", lambda *_: self.reserved)

    def _is_available(self):
        return self.count > 0

    def _device_count(self):
        return self.count

    @contextlib.contextmanager
    def _device(self, index):
        self.entered.append(index)
        yield

    def _utilization(self, device):
        if not self.busy:
            raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")
        return self.busy.pop(0)


@pytest.fixture
def gpus(monkeypatch) -> Gpus:
    """Pretended GPUs: none until `count` is set. No variable of the environment names any."""
    for name in ("CUDA_VISIBLE_DEVICES", "FASTPIPE_GPU_SLOTS", "FASTPIPE_LOST_GPU"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID"):
        monkeypatch.delenv(name, raising=False)
    return Gpus(monkeypatch)


# --- networks as shapes


@pytest.fixture
def without_numbers(monkeypatch):
    """Context manager: networks are built on the meta device, so they have shapes, but take no
    memory and are not initialised."""
    import torch
    from torchvision.models.regnet import BlockParams

    plan = BlockParams.from_init_params.__func__

    def plan_in_numbers(cls, **arguments):  # RegNet works out its widths with tensors
        with torch.device("cpu"):
            return plan(cls, **arguments)

    @contextlib.contextmanager
    def shapes_only():
        with monkeypatch.context() as patch, torch.device("meta"):
            patch.setattr(BlockParams, "from_init_params", classmethod(plan_in_numbers))
            yield

    return shapes_only
