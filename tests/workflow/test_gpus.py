"""A GPU without memory, and one that is lost, under real snakemake runs; the faults are injected.

The jobs compute on the CPU. What is raised is what torch raises on CUDA.
"""

import pytest

from fastpipe.files import read_json

pytestmark = pytest.mark.workflow

FAULTS = """
import os, sys

def inject():
    import torch
    from fastpipe.devices import LOST
    from fastpipe.training.loop import FineTuning

    torch.cuda.mem_get_info = lambda *_: (2**30, 8 * 2**30)
    torch.cuda.get_device_name = lambda *_: "Pretended GPU"
    torch.cuda.max_memory_reserved = lambda *_: 7 * 2**30
    update = FineTuning._update

    def faulty(self, step):
        if self.recipe.alpha == 0.11:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.recipe.alpha == 0.12 and step == 5 and LOST not in os.environ:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered\\nMore of it.")
        if self.recipe.alpha == 0.13:
            raise RuntimeError("CUDA error: GPU is lost")
        return update(self, step)

    FineTuning._update = faulty

if "fastpipe.warm" in sys.orig_argv or "finetune" in sys.orig_argv:
    inject()
"""


@pytest.fixture
def faulty(site, tmp_path, monkeypatch):
    """The tiny study with three new arms, each of which meets with a fault."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(hook))
    monkeypatch.delenv("FASTPIPE_LOST_GPU", raising=False)
    site.configure({"studies": {"tiny": {"arms": {f"a{n}": arm(n / 100) for n in NUMBERS}}}})
    return site


NUMBERS = (11, 12, 13)


def arm(alpha):
    return {
        "recipe": "quick",
        "snapshots": ["net@last"],
        "targets": ["pictures"],
        "overrides": {"alpha": alpha},
    }


@pytest.mark.fault(24)
@pytest.mark.fault(25)
def test_a_job_without_memory_or_gpu_fails_with_the_reason_and_others_go_on(faulty):
    with faulty.finished() as done:
        said = faulty.fail()
    short, mended, lost = (f"quick+alpha=0.{number}" for number in NUMBERS)
    assert done == faulty.jobs(mended)
    assert (
        "error: out of memory on Pretended GPU with batches of 20 images (batch_size of "
        f"{short}): this job took up to 7.00 GiB of the GPU's 8.00" in said
    )
    assert read_json(faulty.pack(mended, "finetune.timing.json"))["starts"] == 2

    log = faulty.path("logs", faulty.pack(mended).relative_to(faulty.path()), "finetune.log")
    assert "failed: CUDA error: uncorrectable ECC error encountered. Nothing" in log.read_text()
    log = faulty.path("logs", faulty.pack(lost).relative_to(faulty.path()), "finetune.log")
    assert log.read_text().count("failed: CUDA error: GPU is lost. Nothing was computed") == 2
    assert log.read_text().count("Starting once more, in a new process.") == 1
