"""Jobs forked from a warm process do, say and end as jobs started cold."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fastpipe.warm import ADDRESS, Warm, run_warm

FASTPIPE = [sys.executable, "-m", "fastpipe"]
SPEC = {
    "source": "s",
    "epoch": 1,
    "dataset": "d",
    "channels": 1,
    "score_images_per_class": 100,
    "backbone": {},
    "compute": {},
}
BAD = ["features", f"--spec={json.dumps(SPEC)}", '--identity={"features.json":"i"}']
BAD += ["--out=o/features.json"]
BAD += ["--snapshot=s/pretrain.json", "--dataset=d/prepare-train.json"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    process = Warm(tmp_path_factory.mktemp("warm") / "warm.log")
    yield process
    process.close()


def start(arguments, folder, environment=None, **streams):
    return subprocess.Popen(
        [*FASTPIPE, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | (environment or {}),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams,
    )


def forked(process, besides: int | None = None) -> int:
    """The child that does the work of a job; waits until it is there."""
    for _ in range(3000):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in map(int, children):
            if child != besides:
                return child
        time.sleep(0.01)
    raise TimeoutError("no child")


def gone(pid: int) -> bool:
    for _ in range(500):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_the_same_words_and_the_same_end(warm, tmp_path):
    answers = []
    for address in (os.environ[ADDRESS], ""):
        job = start(BAD, tmp_path, {ADDRESS: address})
        answers.append((*job.communicate(), job.returncode))
    assert answers[0] == answers[1]
    assert "error: s/pretrain.json" in answers[0][1] and answers[0][2] == 1


def test_usage_errors_end_with_their_code(warm, tmp_path):
    job = start(["deploy", "--nonsense"], tmp_path)
    assert "--nonsense" in job.communicate()[1]
    assert job.returncode == 2


def test_a_job_sees_its_own_folder_and_environment(warm, tmp_path):
    """`--spec=-` reads the job's standard input; a relative path is one of its own folder."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "s").mkdir()
    job = start(["features", "--spec=-", *BAD[2:]], tmp_path / "place", stdin=subprocess.PIPE)
    _, said = job.communicate(json.dumps(SPEC))
    assert "s/pretrain.json" in said and job.returncode == 1
    assert (tmp_path / "place" / "results" / ".work").is_dir()


def waiting_job(folder):
    """A job that waits for its specification on standard input."""
    return start(["features", "--spec=-", *BAD[2:]], folder, stdin=subprocess.PIPE)


def test_a_killed_job_takes_its_child_along(warm, tmp_path):
    job = waiting_job(tmp_path)
    child = forked(warm.process)
    job.kill()
    job.communicate()
    assert gone(child)


def wait_until_passed_on(job: subprocess.Popen) -> None:
    """Until a job hands signals on to its child: it alone handles SIGUSR2."""
    for _ in range(3000):
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{job.pid}/status").read_text().splitlines()
        )
        if int(status["SigCgt"], 16) >> (signal.SIGUSR2 - 1) & 1:
            return
        time.sleep(0.01)
    raise TimeoutError(f"job {job.pid} hands no signals on")


def test_sigterm_reaches_the_child(warm, tmp_path):
    job = waiting_job(tmp_path)
    child = forked(warm.process)
    wait_until_passed_on(job)
    job.send_signal(signal.SIGTERM)
    job.communicate()
    assert job.returncode == 128 + signal.SIGTERM
    assert gone(child)


def test_a_signal_right_after_the_fork_is_not_lost(warm, tmp_path):
    """The child may have no handlers of its own yet, but those of the warm process."""
    for _ in range(8):
        job = waiting_job(tmp_path)
        os.kill(forked(warm.process), signal.SIGTERM)
        job.communicate()
        assert job.returncode == 128 + signal.SIGTERM


def test_a_child_and_its_job_may_die_at_once(warm, tmp_path):
    """Both are seen in one look at what has happened; other jobs are not disturbed."""
    other = waiting_job(tmp_path)
    others = forked(warm.process)
    job = waiting_job(tmp_path)
    child = forked(warm.process, besides=others)
    time.sleep(0.2)
    os.kill(warm.process.pid, signal.SIGSTOP)
    for pid in (child, job.pid):
        os.kill(pid, signal.SIGKILL)
    os.kill(warm.process.pid, signal.SIGCONT)
    job.communicate()
    time.sleep(0.3)
    assert warm.process.poll() is None and other.poll() is None
    other.kill()
    other.communicate()


def test_a_silent_connection_holds_nobody_up(warm, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(os.environ[ADDRESS])
        job = start(["deploy", "--nonsense"], tmp_path)
        job.communicate(timeout=30)
        assert job.returncode == 2


def test_when_the_warm_process_is_killed_its_children_end_and_new_jobs_start_cold(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(ADDRESS, "")  # for other tests to find their own again
    process = Warm(tmp_path / "warm.log")
    try:
        start(["deploy", "--nonsense"], tmp_path).communicate()  # its imports start processes
        job = waiting_job(tmp_path)
        child = forked(process.process)
        time.sleep(0.3)
        process.process.kill()
        _, said = job.communicate(timeout=30)
        assert job.returncode == 1 and "the warm process ended" in said
        assert gone(child)
        cold = start(["deploy", "--nonsense"], tmp_path)
        cold.communicate(timeout=60)
        assert cold.returncode == 2
    finally:
        process.close()


def test_jobs_run_side_by_side(warm, tmp_path):
    waiting, quick = waiting_job(tmp_path), start(["deploy", "--nonsense"], tmp_path)
    quick.communicate()
    assert quick.returncode == 2 and waiting.poll() is None
    waiting.kill()
    waiting.communicate()


def test_without_a_warm_process_a_job_runs_itself(monkeypatch, tmp_path):
    monkeypatch.delenv(ADDRESS, raising=False)
    assert run_warm(["deploy"]) is None
    monkeypatch.setenv(ADDRESS, str(tmp_path / "nobody"))
    assert run_warm(["deploy"]) is None
    monkeypatch.setenv(ADDRESS, "unused")
    assert run_warm(["check"]) is None and run_warm([]) is None


def test_it_ends_with_its_parent_and_leaves_nothing(tmp_path):
    code = (
        "import os, time; from pathlib import Path; from fastpipe.warm import Warm;"
        "w = Warm(Path('warm.log')); print(w.process.pid, w.folder, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, folder = parent.stdout.readline().split()
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert gone(int(pid))
    assert not Path(folder).exists()


UNTOUCHED = """
import sys
import torch

def touched(*_):
    raise SystemExit("CUDA was touched")

for name in ("_cuda_init", "_cuda_getDeviceCount", "_cuda_setDevice", "_cuda_exchangeDevice"):
    if hasattr(torch._C, name):
        setattr(torch._C, name, touched)
torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = touched
from fastpipe.warm import _import_stages
_import_stages()
print("untouched", torch.cuda.is_initialized())
known = set(sys.modules)
import numpy, pyarrow
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()
pyarrow.array(numpy.zeros(1))
print("later", *(set(sys.modules) - known))
"""


def test_the_imports_leave_cuda_alone_and_nothing_for_later():
    """CUDA cannot be used in a process that was forked from one that had begun to use it."""
    done = subprocess.run([sys.executable, "-c", UNTOUCHED], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("untouched False\nlater\n", 0), done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_forked_child_can_use_cuda(tmp_path):
    """As a job under snakemake does."""
    program = """
import os
from fastpipe.warm import _import_stages
_import_stages()
import torch
child = os.fork()
if child == 0:
    from fastpipe.devices import claim_gpu
    from pathlib import Path
    with claim_gpu("cuda", "child", folder=Path("locks")):
        ok = torch.ones(3, device="cuda").sum().item() == 3
    os._exit(0 if ok else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    assert done.returncode == 0
