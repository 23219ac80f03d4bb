"""`similarity` on hand-made class means."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.stages.similarity import SimilaritySpec, similarity

SPEC = {
    "source": "cnn",
    "epoch": 0.25,
    "target": "digits",
    "extractor": "net@2",
    "gamma": 0.5,
    "min_count": 0,
}


@pytest.fixture
def features(handmade):
    def write(name, means, counts):
        folder = handmade.root / "features" / name
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"means": np.array(means, np.float64), "counts": np.array(counts, np.int64)}
        save_file(tensors, folder / "means.safetensors")
        classes = [f"{name} {label}" for label in range(len(counts))]
        handmade.record(folder, "features", ["means.safetensors"], {"classes": classes})
        return folder

    return write


@pytest.fixture
def folders(handmade, features):
    return {
        "source_features": features("mnist", [[0.0, 0.0], [0.0, 3.0], [9.0, 9.0]], [30, 10, 1]),
        "target_features": features("digits", [[4.0, 0.0], [4.0, 3.0]], [5, 5]),
        "out": handmade.root / "similarity",
    }


def run(folders, handmade, **changes):
    spec = SimilaritySpec.model_validate_json(json.dumps(SPEC | changes))
    similarity(spec=spec, **folders, work=handmade.work, identity="i")
    return [
        pq.read_table(folders["out"] / f"{name}.parquet").to_pylist()
        for name in ("similarity", "flow")
    ]


def test_by_hand(folders, handmade):
    """Of 3/4 at (0, 0), 1/2 goes straight to (4, 0) and 1/4 slantwise to (4, 3); 1/4 from (0, 3)
    goes straight to (4, 3): ½·4 + ¼·5 + ¼·4 = 4.25."""
    (row,), flow = run(folders, handmade, min_count=5)
    assert row == {
        "source": "cnn", "epoch": 0.25, "target": "digits", "extractor": "net@2",
        "distance": pytest.approx(4.25), "similarity": pytest.approx(np.exp(-0.5 * 4.25)),
        "gamma": 0.5, "source_classes": 2, "target_classes": 2,
    }  # fmt: skip
    assert [(f["source_class"], f["target_class"], f["flow"]) for f in flow] == [
        ("mnist 0", "digits 0", pytest.approx(0.5)),
        ("mnist 0", "digits 1", pytest.approx(0.25)),
        ("mnist 1", "digits 1", pytest.approx(0.25)),
    ]
    assert [flow[0][name] for name in ("source", "epoch", "target")] == ["cnn", 0.25, "digits"]


def test_without_a_minimum_all_classes_count(folders, handmade):
    (row,), flow = run(folders, handmade)
    assert (row["source_classes"], row["target_classes"]) == (3, 2)
    assert "mnist 2" in {f["source_class"] for f in flow}
    assert sum(f["flow"] for f in flow) == pytest.approx(1)


def test_the_record_names_both_means(folders, handmade):
    run(folders, handmade)
    record = read_json(folders["out"] / "similarity.json")
    assert record["inputs"].keys() == {
        f"{folders[who]}/means.safetensors" for who in ("source_features", "target_features")
    }
    assert record["outputs"].keys() == {"similarity.parquet", "flow.parquet"}


def test_damaged_means_are_found(folders, handmade):
    path = folders["target_features"] / "means.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match=r"digits/means\.safetensors is damaged"):
        run(folders, handmade)


def test_no_class_left_leaves_nothing_behind(folders, handmade):
    with pytest.raises(UserError, match="no class of the target is left"):
        run(folders, handmade, min_count=6)
    assert list(folders["out"].iterdir()) == []


def test_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="gama"):
        SimilaritySpec.model_validate_json(json.dumps(SPEC | {"gama": 1}))


def test_torch_is_not_imported():
    """Half of this stage's time would be spent on it."""
    program = (
        "import sys; from fastpipe.stages import similarity; "
        "from fastpipe.similarity.emd import domain_similarity; "
        "domain_similarity([[0.]], [1], [[1.]], [1]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.split() == [b"False"]
