import contextlib
import threading

import pytest
import torch

from fastpipe.config.compute import Compute
from fastpipe.errors import UserError
from fastpipe.models.compute import Resolved, claim_gpu, resolve

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


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


def test_no_silent_fall_back_from_cuda(no_cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(UserError, match=r"finds no CUDA device \(CUDA_VISIBLE_DEVICES=7\)"):
        resolve(Compute(device="cuda"))


# --- claiming


@pytest.fixture
def two_gpus(monkeypatch):
    """Two pretended GPUs; holds the indices that were made current."""
    entered = []

    @contextlib.contextmanager
    def current(index):
        entered.append(index)
        yield

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", current)
    return entered


def test_jobs_get_different_gpus_and_give_them_back(tmp_path, two_gpus):
    locks = tmp_path / "new" / "locks"
    with claim_gpu(locks) as first, claim_gpu(locks) as second:
        assert (first, second) == (0, 1)
    with pytest.raises(ZeroDivisionError), claim_gpu(locks):
        raise ZeroDivisionError
    with claim_gpu(locks) as again:
        assert again == 0
    assert two_gpus == [0, 1, 0, 0]


def test_a_third_job_waits_and_says_so_once(tmp_path, two_gpus, capsys):
    claimed, release = threading.Event(), threading.Event()

    def hold():
        with claim_gpu(tmp_path), claim_gpu(tmp_path):
            claimed.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    claimed.wait(10)
    threading.Timer(0.3, release.set).start()
    with claim_gpu(tmp_path, poll_seconds=0.02) as index:
        assert release.is_set()
        assert index in (0, 1)
    holder.join()
    assert capsys.readouterr().out.count("waiting for one of 2 GPUs") == 1


@pytest.mark.parametrize("visible", ["", "0", "1,3"])
def test_a_scheduler_s_choice_is_kept(tmp_path, two_gpus, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with claim_gpu(tmp_path) as index:
        assert index is None
    assert not list(tmp_path.iterdir())


def test_jobs_on_the_cpu_claim_nothing(tmp_path, two_gpus):
    with claim_gpu(tmp_path, "cpu") as index:
        assert index is None
    assert not two_gpus


@pytest.mark.gpu
@needs_cuda
def test_cuda_is_chosen_and_made_deterministic():
    resolved = resolve(Compute())
    assert resolved.device.type == "cuda"
    expected = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    assert resolved.precision == expected
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.gpu
@needs_cuda
def test_a_claimed_gpu_is_current(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with claim_gpu(tmp_path) as index:
        assert torch.zeros(1, device="cuda").device.index == index
