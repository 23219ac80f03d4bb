"""What a stage says of its device, and what it says when that fails; on pretended GPUs."""

import contextlib
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from fastpipe import cli, devices
from fastpipe.config.compute import Compute
from fastpipe.devices import LOST, DeviceLostError
from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.models.compute import Resolved
from fastpipe.stages import device_use, job
from fastpipe.stages.device_use import INFERENCE, on_device
from fastpipe.stages.job import stage_job
from fastpipe.warm import ADDRESS


@pytest.fixture(autouse=True)
def one_gpu(gpus, monkeypatch, tmp_path):
    """A GPU, on which nothing is computed."""
    gpus.count = 1
    monkeypatch.setattr(devices, "_locks_folder", lambda: tmp_path / "locks")

    def resolve(compute: Compute) -> Resolved:
        return Resolved(torch.device(compute.device), "fp32")

    monkeypatch.setattr(device_use, "resolve", resolve)
    return gpus


@contextlib.contextmanager
def stage(tmp_path, device="auto", batch="batches of 50 images (batch_size of quick)"):
    """A stage on a device."""
    with (
        stage_job("finetune", tmp_path / "out", spec={}, identity="i", work=tmp_path / "w") as work,
        on_device(work, Compute(device=device), batch) as resolved,
    ):
        yield resolved


def timing(tmp_path):
    return read_json(tmp_path / "out" / "finetune.timing.json")


def test_the_gpu_its_memory_and_how_busy_it_was_are_told(tmp_path, one_gpu, monkeypatch):
    one_gpu.busy = [80, 40]
    monkeypatch.setattr(device_use, "_SAMPLE_EVERY_SECONDS", 0.01)
    with stage(tmp_path) as resolved:
        assert resolved.device.type == "cuda"
        while one_gpu.busy:
            time.sleep(0.01)
    found = timing(tmp_path)
    assert (found["device"], found["precision"]) == ("Pretended GPU", "fp32")
    assert (found["peak_bytes"], found["utilisation"]) == (5 * 2**30, pytest.approx(0.6))
    record = read_json(tmp_path / "out" / "finetune.json")
    assert "Pretended" not in str(record) and record["facts"] == {}


def test_without_nvml_there_is_no_utilisation(tmp_path):
    with stage(tmp_path):
        pass
    assert timing(tmp_path)["utilisation"] is None


def test_on_the_cpu_the_process_s_own_memory_is_told(tmp_path, one_gpu):
    with stage(tmp_path, "cpu") as resolved:
        assert resolved.device.type == "cpu"
    found = timing(tmp_path)
    assert (found["device"], found["utilisation"]) == ("cpu", None)
    assert 10**7 < found["peak_bytes"] < 10**12
    assert not one_gpu.entered


def test_waiting_for_a_gpu_is_no_part_of_a_stage_s_time(tmp_path, monkeypatch):
    """Estimates of what is left to do rest on it."""
    asked, held = 7.0, 37.0
    began, ended = 1000.0, 1050.0
    monkeypatch.setattr(job, "time", SimpleNamespace(time=iter([began, ended]).__next__))
    clock = SimpleNamespace(monotonic=iter([asked, held]).__next__)
    monkeypatch.setattr(device_use, "time", clock)
    with stage(tmp_path):
        pass
    assert timing(tmp_path)["seconds"] == 50.0 - 30.0


def test_each_stage_of_a_process_has_its_own_peak(tmp_path, one_gpu, monkeypatch):
    calls = []
    for name in ("reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: calls.append(name))
    with stage(tmp_path):
        calls.append("work")
    assert calls == ["reset_peak_memory_stats", "work", "empty_cache"]


# --- row 24


TORCH_SAYS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.92 GiB of "
    "which 1.00 GiB is free. See documentation for Memory Management."
)


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("error", "first"),
    [
        (torch.OutOfMemoryError(TORCH_SAYS), "CUDA out of memory"),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be …"),
            "CUDA error: out of memory",
        ),
    ],
)
def test_out_of_memory_is_told_with_batch_and_peak(tmp_path, error, first):
    with pytest.raises(UserError) as caught, stage(tmp_path):
        raise error
    assert not isinstance(caught.value, DeviceLostError)  # a second attempt would do no better
    assert str(caught.value) == (
        "out of memory on Pretended GPU with batches of 50 images (batch_size of quick): this job "
        f"took up to 5.00 GiB of the GPU's 8.00, of which 1.00 are free now ({first}). Make "
        "batches smaller, let fewer jobs share a GPU (settings.gpu_slots), or use a GPU with more "
        "memory."
    )
    assert not (tmp_path / "out" / "finetune.json").exists()


@pytest.mark.fault(24)
def test_after_out_of_memory_the_place_is_free(tmp_path):
    with pytest.raises(UserError, match=INFERENCE), stage(tmp_path, batch=INFERENCE):
        raise torch.OutOfMemoryError(TORCH_SAYS)
    with stage(tmp_path, "cuda"):
        pass
    assert timing(tmp_path)["device"] == "Pretended GPU"


def test_other_errors_stay_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"), stage(tmp_path):
        raise RuntimeError("shapes do not match")


# --- row 25


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("CUDA error: unspecified launch failure\nCUDA kernel errors …", "unspecified launch"),
        ("CUDA error: device-side assert triggered\nDevice-side …", "device-side assert"),
        ("CUDA error: uncorrectable ECC error encountered", "ECC error"),
        ("CUDA error: GPU is lost", "GPU is lost"),
        ("CUDA driver error: device not ready", "device not ready"),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED"),
        ("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `x`", "CUBLAS_STATUS_INTERNAL"),
    ],
)
def test_a_lost_gpu_is_told_with_the_reason(tmp_path, said, reason):
    expected = rf"^GPU 0 failed: .*{reason}.*on the CPU"
    with pytest.raises(DeviceLostError, match=expected) as caught, stage(tmp_path):
        raise RuntimeError(said)
    assert caught.value.gpu == "0"
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "finetune.json").exists()


@pytest.mark.fault(25)
def test_a_gpu_that_cannot_even_be_left_is_lost(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def device(_index):
        yield
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "device", device)
    with pytest.raises(DeviceLostError, match="GPU 0 failed"), stage(tmp_path):
        pass


@pytest.mark.fault(25)
def test_a_gpu_that_goes_between_claim_and_use_is_not_swapped_for_the_cpu(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(device_use, "resolve", lambda compute: asked.append(compute.device))
    with pytest.raises(AttributeError), stage(tmp_path, "auto"):
        pass
    assert asked == ["cuda"]


FAILS = """
import os, sys
from fastpipe import cli
from fastpipe.devices import LOST, DeviceLostError
def app():
    print("attempt", os.getpid(), os.environ.get(LOST), flush=True)
    raise DeviceLostError("GPU 1 failed: ECC error.", "1")
cli.app = app
if os.environ.get("AGAIN_TOO"):
    os.environ[LOST] = "1"
cli.main()
"""


def attempt(**variables):
    return subprocess.run(
        [sys.executable, "-c", FAILS, "export", "--help"],
        env=os.environ | {ADDRESS: "/nowhere"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.fault(25)
def test_a_job_whose_gpu_is_lost_starts_once_more_in_a_new_process():
    """The same process number, so whoever waits for it, or kills it, need not know."""
    done = attempt()
    lines = done.stderr.splitlines()
    assert lines == ["error: GPU 1 failed: ECC error.", "Starting once more, in a new process."]
    assert done.stdout.startswith("attempt")
    assert "Usage" in done.stdout and "Write the model that a run deploys" in done.stdout
    assert done.returncode == 0


@pytest.mark.fault(25)
def test_a_second_loss_ends_it():
    done = attempt(AGAIN_TOO="yes")
    assert done.returncode == 1
    assert done.stderr == "error: GPU 1 failed: ECC error.\n"
    assert done.stdout.count("attempt") == 1


@pytest.mark.fault(25)
def test_the_second_attempt_knows_the_gpu_and_is_not_warm(monkeypatch):
    class ReplacedError(Exception):
        pass

    def execv(program, arguments):
        raise ReplacedError(program, arguments)

    def app():
        raise DeviceLostError("GPU 1 failed.", "1")

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["fastpipe", "finetune", "--spec=x"])
    monkeypatch.setenv(ADDRESS, "/somewhere")
    monkeypatch.delenv(LOST, raising=False)
    with pytest.raises(ReplacedError) as caught:
        cli.main()
    expected = [sys.executable, "-m", "fastpipe", "finetune", "--spec=x"]
    assert caught.value.args == (sys.executable, expected)
    assert os.environ.pop(LOST) == "1" and ADDRESS not in os.environ
