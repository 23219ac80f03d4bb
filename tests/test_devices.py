"""Which GPU a job takes, with pretended ones; the tests marked `gpu` do the same on a real one."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from fastpipe import devices
from fastpipe.devices import LOST, SLOTS, claim_gpu, hidden_by, likely_device, usable_gpus
from fastpipe.errors import UserError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def no_device_files(monkeypatch, tmp_path):
    """This machine has no GPU, whatever it has."""
    (tmp_path / "dev").mkdir()
    found = devices._device_files
    monkeypatch.setattr(devices, "_device_files", lambda: found(tmp_path / "dev"))


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Who waits where nobody will make room fails, instead of waiting for ever."""
    left = iter(range(3000))

    def sleep(seconds):
        assert next(left, None) is not None, "waits for ever"
        time.sleep(seconds)

    monkeypatch.setattr(devices, "time", SimpleNamespace(sleep=sleep, strftime=time.strftime))


# --- which there are


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        (None, 2, ["0", "1"]),
        ("1", 1, ["1"]),
        ("3, 1", 2, ["3", "1"]),
        ("GPU-8f,MIG-2a", 2, ["GPU-8f", "MIG-2a"]),
        ("0,-1,1", 1, ["0"]),
        (None, 0, []),
        ("", 0, []),
        ("-1", 0, []),
        ("NoDevFiles", 0, []),
    ],
)
def test_gpus_are_those_that_are_visible(gpus, monkeypatch, visible, count, names):
    gpus.count = count
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert usable_gpus("auto") == names
    assert usable_gpus("cpu") == []
    by_files = visible is None  # of which there are none here
    assert likely_device("auto") == ("cuda" if names and not by_files else "cpu")
    assert hidden_by() == (f"{VISIBLE}={visible}" if visible is not None and not names else None)


def test_without_torch_a_gpu_is_one_that_has_a_device_file(gpus, tmp_path):
    (tmp_path / "dev" / "nvidiactl").touch()
    assert likely_device("auto") == "cpu"
    (tmp_path / "dev" / "nvidia0").touch()
    assert [likely_device(device) for device in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


@pytest.mark.fault(25)
@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("visible", "count", "said"),
    [
        ("7", 0, r"CUDA_VISIBLE_DEVICES=7 names 1 of .* but torch finds 0 \(broken driver\)\."),
        ("0,7", 1, r"CUDA_VISIBLE_DEVICES=0,7 names 2 of .* but torch finds 1\. Correct it"),
        ("GPU-none", 0, r"CUDA_VISIBLE_DEVICES=GPU-none names 1"),
    ],
)
def test_a_wrong_cuda_visible_devices_is_an_error(gpus, monkeypatch, device, visible, count, said):
    """Also where the CPU would do: a GPU was promised."""
    gpus.count = count
    monkeypatch.setenv(VISIBLE, visible)
    monkeypatch.setattr(torch.cuda, "init", broken)
    with pytest.raises(UserError, match=said):
        usable_gpus(device)
    assert usable_gpus("cpu") == []


def broken():
    raise RuntimeError("broken driver.\nMore of it.")


@pytest.mark.fault(25)
@pytest.mark.parametrize("visible", [None, "", "-1"])
def test_cuda_is_never_computed_on_the_cpu(gpus, monkeypatch, visible):
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    monkeypatch.setattr(torch.cuda, "init", broken)
    shown = "not set" if visible is None else repr(visible)
    said = f"no GPU (CUDA_VISIBLE_DEVICES is {shown}) (broken driver)"
    with pytest.raises(UserError, match=re.escape(said)):
        usable_gpus("cuda")


@pytest.mark.fault(25)
def test_a_gpu_that_is_there_but_cannot_be_used_is_not_swapped_for_the_cpu(
    gpus, monkeypatch, tmp_path
):
    """As when one is lost: the next job under `auto` would otherwise be done by the CPU."""
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / "dev" / name).touch()
    assert usable_gpus("auto") == []
    (tmp_path / "dev" / "nvidia3").touch()
    monkeypatch.setattr(torch.cuda, "init", broken)
    with pytest.raises(UserError, match=r"has a GPU \(.*nvidia3\), but .* \(broken driver\)\."):
        usable_gpus("auto")
    gpus.count = 1
    assert usable_gpus("auto") == ["0"]


def test_the_reason_is_torchs_own(gpus):
    """In this process torch was told that there is none; it still says why in words."""
    if torch.cuda.is_initialized():
        pytest.skip("torch uses a GPU")
    with pytest.raises(UserError, match=r"finds no GPU \(CUDA_VISIBLE_DEVICES is not set\) \(\w+"):
        usable_gpus("cuda")


@pytest.mark.parametrize(("error", "closed"), [(PermissionError, True), (OSError, False)])
def test_a_device_file_that_a_scheduler_forbids_is_no_promise(monkeypatch, tmp_path, error, closed):
    def refuse(*_):
        raise error

    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(os, "open", refuse)
    assert devices._is_closed_to_us(tmp_path / "nvidia0") is closed


# --- places


def claim(tmp_path, device="auto", who="a job", poll_seconds=0.01):
    return claim_gpu(device, who, folder=tmp_path / "locks", poll_seconds=poll_seconds)


def taken(tmp_path, number):
    """The GPUs that so many jobs take one after the other, all at once held."""
    with contextlib.ExitStack() as held:
        return [held.enter_context(claim(tmp_path)) for _ in range(number)]


def test_jobs_get_different_gpus_and_give_them_back(tmp_path, gpus):
    gpus.count = 2
    assert taken(tmp_path, 2) == ["0", "1"]
    with pytest.raises(ZeroDivisionError), claim(tmp_path):
        raise ZeroDivisionError
    assert taken(tmp_path, 1) == ["0"]
    assert gpus.entered == [0, 1, 0, 0]


def test_a_gpu_has_as_many_places_as_slots_and_they_fill_evenly(tmp_path, gpus, monkeypatch):
    gpus.count = 2
    monkeypatch.setenv(SLOTS, "3")
    assert taken(tmp_path, 6) == ["0", "1"] * 3


def test_torch_s_number_is_not_the_lock_s_name(tmp_path, gpus, monkeypatch):
    """GPU 3 is one GPU, whichever numbers torch gives it in two processes."""
    gpus.count = 2
    monkeypatch.setenv(VISIBLE, "2,3")
    with claim(tmp_path) as first:
        monkeypatch.setenv(VISIBLE, "3,2")
        with claim(tmp_path) as second:
            assert (first, second) == ("2", "3")
    assert gpus.entered == [0, 0]


def test_waiting_is_said_once_and_by_whom(tmp_path, gpus, capsys):
    gpus.count = 2
    claimed, release = threading.Event(), threading.Event()

    def hold():
        with claim(tmp_path, who="results/a"), claim(tmp_path, who="results/b"):
            claimed.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    claimed.wait(10)
    threading.Timer(0.2, release.set).start()
    with claim(tmp_path) as name:
        assert release.is_set() and name in ("0", "1")
    holder.join()
    said = capsys.readouterr().out
    assert said.count("waiting for a GPU") == 1
    pid = os.getpid()
    held = rf"Held are 0 by process {pid} \(results/a, since 2.*\); 1 by process {pid} \(results/b"
    assert re.search(held, said)


HOLD = """
import sys, time
from pathlib import Path
from fastpipe.devices import _place
with _place(["0"], Path(sys.argv[1]), "the other", 1.0) as name:
    print(name, flush=True)
    time.sleep(60)
"""


def test_a_killed_job_s_place_is_free(tmp_path, gpus):
    gpus.count = 1
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "locks")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "0\n"
        files = [devices._file(tmp_path / "locks", "0", 0)]
        assert devices._first_free(files) is None
        assert f"process {holder.pid} (the other" in devices._holder(files[0])
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claim(tmp_path) as name:
            assert name == "0"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.fault(25)
def test_a_gpu_that_failed_comes_last(tmp_path, gpus, monkeypatch):
    gpus.count = 3
    monkeypatch.setenv(LOST, "0")
    assert taken(tmp_path, 3) == ["1", "2", "0"]


def test_jobs_that_a_scheduler_gave_different_gpus_of_the_same_number(tmp_path, gpus, monkeypatch):
    """Where it shows a job nothing but its own GPU, each has number 0: they do not wait for each
    other; jobs within one allocation do."""
    gpus.count = 1
    monkeypatch.setenv(VISIBLE, "0")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with claim(tmp_path):
        assert devices._first_free([devices._file(tmp_path / "locks", "0", 0)]) is None
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        with claim(tmp_path) as name:
            assert name == "0"


def test_jobs_on_the_cpu_claim_nothing(tmp_path, gpus):
    with claim(tmp_path) as name:
        assert name is None
    gpus.count = 1
    with claim(tmp_path, "cpu") as name:
        assert name is None
    assert not gpus.entered and not (tmp_path / "locks").exists()


def test_the_folder_of_the_locks_is_this_user_s_alone(tmp_path):
    folder = devices._locks_folder(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert devices._locks_folder(tmp_path) == folder
    folder.chmod(0o777)
    with pytest.raises(UserError, match=r"no folder of this user's alone\. Remove it"):
        devices._locks_folder(tmp_path)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no folder of this user's alone"):
        devices._locks_folder(tmp_path)


# --- a real one


@pytest.mark.gpu
@needs_cuda
def test_a_claimed_gpu_is_current(tmp_path):
    with claim(tmp_path, "cuda") as name:
        assert name is not None
        place = usable_gpus("cuda").index(name)
        assert torch.zeros(1, device="cuda").device.index == place


WAITING = """
import sys, threading, time
from pathlib import Path
import torch
from fastpipe.devices import claim_gpu
def tell():
    time.sleep(1)
    print(torch.cuda.is_initialized(), flush=True)
threading.Thread(target=tell).start()
with claim_gpu("cuda", "waits", folder=Path(sys.argv[1])):
    print(torch.zeros(1, device="cuda").device.type, flush=True)
"""


@pytest.mark.gpu
@needs_cuda
def test_a_job_that_waits_makes_no_context(tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, os.environ.get(VISIBLE, "0").partition(",")[0])
    with claim(tmp_path, "cuda"):
        other = subprocess.Popen(
            [sys.executable, "-c", WAITING, str(tmp_path / "locks")],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [other.stdout.readline(), other.stdout.readline()]
    lines.append(other.communicate(timeout=60)[0])
    assert lines[0].startswith("waiting for a GPU. Held are")
    assert lines[1:] == ["False\n", "cuda\n"]
