"""Tables that stages write as Parquet files."""

import pyarrow as pa
import pyarrow.parquet as pq

from fastpipe.files import writing
from fastpipe.stages.job import Job

__all__ = ["write_table"]


def write_table(job: Job, name: str, table: pa.Table) -> None:
    """Write output `name` of a job.

    Raises:
        UserError: no space is left on the device, or the system refuses.
    """
    path = job.output(name)
    with writing(path, table.nbytes):
        pq.write_table(table, path, compression="zstd")
