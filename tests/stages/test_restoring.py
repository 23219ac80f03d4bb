"""What `restoring` says of a record that does not hold what it should."""

import pytest

from fastpipe.errors import UserError
from fastpipe.files import write_json
from fastpipe.stages.restoring import class_names


@pytest.mark.parametrize("content", [{}, {"facts": {}}, {"facts": None}])
def test_a_record_without_classes_is_named(tmp_path, content):
    record = tmp_path / "prepare-test.json"
    write_json(record, {"inputs": {}, "outputs": {}} | content)
    with pytest.raises(UserError, match=r"prepare-test\.json names no classes.*run snakemake"):
        class_names(record)
