import pytest
import torch

from fastpipe import devices
from fastpipe.config.compute import Compute
from fastpipe.errors import UserError
from fastpipe.models.compute import Resolved, resolve

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_cuda(gpus, monkeypatch):
    monkeypatch.setattr(devices, "_device_files", list)


def instructions(monkeypatch, *, amx, bf16):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)


@pytest.mark.parametrize(
    ("amx", "bf16", "precision"),
    [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_auto_precision_follows_the_cpu_s_instructions(no_cuda, monkeypatch, amx, bf16, precision):
    instructions(monkeypatch, amx=amx, bf16=bf16)
    assert resolve(Compute()) == Resolved(torch.device("cpu"), precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_asked_for_is_taken(monkeypatch, precision):
    instructions(monkeypatch, amx=precision == "fp32", bf16=False)
    assert resolve(Compute(device="cpu", precision=precision)).precision == precision


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set(threads):
    resolve(Compute(device="cpu", threads=threads))
    assert torch.get_num_threads() == threads


@pytest.mark.fault(25)
def test_no_silent_fall_back_from_cuda(no_cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(UserError, match="names 1 of this machine's GPUs, but torch finds 0"):
        resolve(Compute(device="cuda"))


@pytest.mark.gpu
@needs_cuda
def test_cuda_is_chosen_and_made_deterministic():
    resolved = resolve(Compute())
    assert resolved.device.type == "cuda"
    expected = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    assert resolved.precision == expected
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32
