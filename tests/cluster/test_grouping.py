"""Which jobs share a submission, and what they ask for together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.cluster.grouping import Resources, alike, merged, split


def test_a_batch_asks_for_the_time_of_all_and_the_most_memory_of_one():
    one = {"mem_mb": 900, "runtime": 6, "seconds": 30, "gpu": 1, "slurm_partition": "p"}
    other = {"mem_mb": 2000, "runtime": 9, "seconds": 50, "gpu": 1, "slurm_partition": "p"}
    together = merged([one, other, one])
    assert together == {"mem_mb": 2000, "runtime": 21, "seconds": 110} | {
        "gpu": 1,
        "slurm_partition": "p",
    }
    assert together.mem_mb == 2000
    assert one["runtime"] == 6


def test_what_is_not_asked_for_is_no_attribute():
    with pytest.raises(AttributeError, match="slurm_extra"):
        _ = Resources().slurm_extra


def test_jobs_that_need_other_things_do_not_share():
    asked = {"mem_mb": 900, "runtime": 6, "seconds": 30, "gpu": 0, "_cores": 1}
    own = alike("finetune", 1, asked)
    assert own == alike("finetune", 1, asked | {"mem_mb": 5, "runtime": 1, "seconds": 2})
    assert own != alike("deploy", 1, asked)
    assert own != alike("finetune", 2, asked)
    assert own != alike("finetune", 1, asked | {"gpu": 1})
    assert own != alike("finetune", 1, asked | {"slurm_partition": "other"})


@given(st.lists(st.floats(0, 2000), max_size=60), st.integers(1, 20))
def test_batches_hold_every_job_once_in_order_and_are_as_full_as_they_may(seconds, most):
    batches = split(seconds, 600.0, most)
    assert [index for batch in batches for index in batch] == list(range(len(seconds)))
    total = [sum(seconds[index] for index in batch) for batch in batches]
    for batch, together in zip(batches, total, strict=True):
        assert len(batch) == 1 or (together <= 600.0 and len(batch) <= most)
    for batch, together, after in zip(batches, total, batches[1:], strict=False):
        assert len(batch) == most or together + seconds[after[0]] > 600.0
