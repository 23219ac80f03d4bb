import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.config.names import (
    Pack,
    Snapshot,
    dataset_folder,
    features_folder,
    number_name,
    pack_folder,
    similarity_folder,
    snapshot_folder,
    study_folder,
    variant_name,
)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (3.0, "3"),
        (0.1, "0.1"),
        (1e-8, "1e-08"),
        (1e22, "1e+22"),
        (0.0, "0"),
        ("ema", "ema"),
    ],
)
def test_number_name(value: bool | int | float | str, name: str) -> None:
    assert number_name(value) == name


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_from_its_name(value: float) -> None:
    assert float(number_name(value)) == value


@given(st.floats(0, 1e6))
def test_two_epochs_never_share_a_name(epoch: float) -> None:
    after = math.nextafter(epoch, math.inf)
    assert str(Snapshot("s", epoch)) != str(Snapshot("s", after))


def test_variants_are_named_after_their_changes_in_alphabetical_order() -> None:
    assert variant_name("fast", {}) == "fast"
    changes = {"steps": 400, "alpha": 0.1, "flip": True}
    assert variant_name("fast", changes) == "fast+alpha=0.1+flip=true+steps=400"


def test_folders() -> None:
    snapshot = Snapshot("net", 0.25)
    pack = Pack(snapshot, "digits", "fast+alpha=0.1", 5, 9)
    assert pack.seeds == [5, 6, 7, 8, 9]
    assert [
        dataset_folder("digits"),
        snapshot_folder(snapshot),
        features_folder(snapshot, "digits"),
        similarity_folder(snapshot, "digits"),
        similarity_folder(snapshot, "digits", snapshot),
        similarity_folder(snapshot, "digits", Snapshot("other", 2.0)),
        pack_folder(pack),
        study_folder("demo"),
    ] == [
        Path("results/datasets/digits"),
        Path("results/sources/net/epoch-0.25"),
        Path("results/features/net@0.25/digits"),
        Path("results/similarity/net@0.25/digits"),
        Path("results/similarity/net@0.25/digits"),
        Path("results/similarity/net@0.25/digits/other@2"),
        Path("results/runs/net@0.25/digits/fast+alpha=0.1/seeds-5-9"),
        Path("results/studies/demo"),
    ]


def test_a_whole_epoch_has_one_name_however_it_is_written() -> None:
    assert str(Snapshot("net", 3)) == str(Snapshot("net", 3.0)) == "net@3"
    assert snapshot_folder(Snapshot("net", 3)) == Path("results/sources/net/epoch-3")
