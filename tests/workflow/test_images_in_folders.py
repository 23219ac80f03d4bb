"""A user's own image folder: what is put into it is noticed, and reruns what depends on it."""

import json
import shutil

import pytest

pytestmark = pytest.mark.workflow


def on_pictures(site, *stages: str) -> set[str]:
    """Jobs of all packs, which are all on `pictures`."""
    return {job for name in ("quick", "plain", "warm") for job in site.jobs(name, *stages)}


def test_a_test_image_more_retrains_nothing(site):
    before = site.bytes("datasets")
    folder = site.folder / "images" / "test" / "null"
    shutil.copy(folder / "12.png", folder / "99.png")
    prepared, tested = {"prepare datasets/pictures"}, on_pictures(site, "deploy")
    assert site.plan() == prepared | tested | site.summary()
    assert site.run("results/datasets/pictures/card.json") == prepared
    after = site.bytes("datasets")
    changed = {name.rpartition("/")[2] for name in before if before[name] != after[name]}
    assert changed == {"card.json", "prepare-test.json", "test-images.npy", "test-labels.npy"}
    assert site.plan() == tested | site.summary()


def test_a_training_image_more_retrains_what_learns_from_it(site):
    folder = site.folder / "images" / "train" / "null"
    shutil.copy(folder / "1.png", folder / "99.png")
    prepared = {"prepare datasets/pictures", "features features/net@1/pictures"}
    compared = {f"{stage} similarity/net@1/pictures" for stage in ("similarity", "scores")}
    assert site.plan() == prepared | compared | on_pictures(site) | site.summary()


def test_a_copied_folder_is_the_same_folder(site):
    shutil.copytree(site.folder / "images", site.folder / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(site.folder / "images")
    (site.folder / "copy").rename(site.folder / "images")
    assert site.plan() == set()


@pytest.mark.fault(16)
def test_all_corrupt_images_are_named(site):
    images = site.folder / "images"
    broken = {
        "train/null/1.png": b"",
        "train/fünf/2.png": (images / "train/fünf/2.png").read_bytes()[:60],
        "test/die Eins/12.png": b"<html>not found</html>",
    }
    before = site.bytes("datasets/pictures")
    for name, content in broken.items():
        (images / name).write_bytes(content)
    output = site.fail()
    for name in broken:
        assert name in output
    assert "skip_corrupt: true" in output
    assert "fastpipe prepare --spec=… --identity=… --out=" in output and '"providers"' not in output
    assert not site.path("datasets/pictures/prepare-train.json").exists()
    assert before and site.bytes("datasets/pictures") == {}


@pytest.mark.fault(16)
def test_corrupt_images_are_skipped_and_counted_if_asked(site):
    (site.folder / "images/train/null/1.png").write_bytes(b"")
    site.configure({"datasets": {"pictures": {"skip_corrupt": True}}})
    assert site.run("results/datasets/pictures/card.json") == {"prepare datasets/pictures"}
    card = json.loads(site.path("datasets/pictures/card.json").read_text())
    assert card["unreadable_count"] == 1
    assert card["unreadable"][0]["image"] == "train/null/1.png"
