"""A study in one file, opened elsewhere."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fastpipe.config.packed import PACKED
from fastpipe.errors import UserError
from fastpipe.opening import open_study
from fastpipe.packing import signed

pytestmark = pytest.mark.workflow

LARGE = (".npy", ".safetensors")


def results(site) -> dict[str, bytes]:
    """Content of all results but Snakemake's own marks and the pack's manifest."""
    marks = (".snakemake_timestamp", "packed.json")
    return {name: text for name, text in site.bytes().items() if not name.endswith(marks)}


def fastpipe(site, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "fastpipe", *arguments],
        cwd=site.folder,
        env=site.environment | {"PYTHONPATH": str(site.code)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def light(built, tmp_path_factory) -> Path:
    """The tiny study packed without weights."""
    out = tmp_path_factory.mktemp("packs") / "leicht & ü.tar"
    done = fastpipe(built, "pack-study", "tiny", str(out))
    assert done.returncode == 0, done.stderr
    assert "large files" in done.stdout
    return out


@pytest.fixture
def opened(light, built, tmp_path):
    """The light pack opened: no images of the user's, no notes of Snakemake's."""
    folder = tmp_path / "wieder offen"
    open_study(light, folder)
    return dataclasses.replace(built, folder=folder)


def test_a_light_pack_opens_elsewhere_and_nothing_is_left_to_do(built, opened):
    output = opened.snakemake().stdout
    assert "Nothing to be done" in output, output
    here = results(built)
    light = {name: text for name, text in here.items() if not name.endswith(LARGE)}
    assert len(light) < len(here)
    assert results(opened) == light
    verified = fastpipe(opened, "verify", "tiny")
    told = "Results damaged: 0, stale: 0. Files that no configuration asks for: 0."
    assert verified.returncode == 0 and told in " ".join(verified.stdout.split()), verified.stdout


def test_a_pack_with_weights_has_everything(built, opened, tmp_path):
    done = fastpipe(built, "pack-study", "tiny", str(tmp_path / "all.tar"), "--weights")
    assert done.returncode == 0, done.stderr
    assert "Left out" not in done.stdout
    told = fastpipe(built, "open-study", str(tmp_path / "all.tar"), str(tmp_path / "all"))
    opened.folder = tmp_path / "all"
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == (
        f"The report: {opened.path('studies/tiny/report.html')}"
    )
    assert results(opened) == results(built)
    change(opened)
    assert opened.plan() == opened.jobs("quick") | opened.summary()


def change(site) -> None:
    """Another β for one recipe, in the configuration that came with the pack."""
    file = site.folder / "config" / "packed.yaml"
    config = json.loads(file.read_text())
    config["recipes"]["quick"]["beta"] = 0.02
    file.write_text(json.dumps(config))


def test_what_was_left_out_is_made_again_when_it_is_needed(built, opened):
    shutil.copytree(built.folder / "images", opened.folder / "images")
    change(opened)
    needed = {f"prepare datasets/{name}" for name in ("own", "pictures")}
    needed |= {f"pretrain sources/net/epoch-{epoch}" for epoch in ("0", "0.5", "1")}
    assert opened.run() == needed | opened.jobs("quick") | opened.summary()
    assert opened.plan() == set()
    weights = "sources/net/epoch-1/weights.safetensors"
    assert opened.path(weights).read_bytes() == built.path(weights).read_bytes()


def test_collecting_anew_needs_nothing_that_was_left_out(opened):
    opened.path("studies/tiny/study.duckdb").unlink()
    assert opened.plan() == opened.summary()


def test_a_damaged_file_of_an_opened_pack_is_told(opened):
    table = opened.pack("quick", "adp.parquet")
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    assert "adp.parquet is damaged" in opened.fail()


def test_the_same_results_are_the_same_bytes(built, light, site, tmp_path):
    for path in site.folder.rglob("*"):
        path.touch()
    done = fastpipe(site, "pack-study", "tiny", str(tmp_path / "again.tar"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.tar").read_bytes() == light.read_bytes()


def test_an_opened_pack_can_be_packed_again(light, opened, tmp_path):
    done = fastpipe(opened, "pack-study", "tiny", str(tmp_path / "again.tar"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.tar").read_bytes() == light.read_bytes()
    done = fastpipe(opened, "pack-study", "tiny", str(tmp_path / "more.tar"), "--weights")
    assert done.returncode == 1
    assert "was opened from a pack without weights" in done.stderr


def test_what_cannot_be_packed(site, light, tmp_path):
    before = light.read_bytes()
    done = fastpipe(site, "pack-study", "tiny", str(light))
    assert "is there already. Name another file, or add --force" in done.stderr
    assert light.read_bytes() == before
    done = fastpipe(site, "pack-study", "tinny", str(tmp_path / "x.tar"))
    assert "there is no study 'tinny'; did you mean 'tiny'?" in done.stderr
    table = site.pack("quick", "adp.parquet")
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    done = fastpipe(site, "pack-study", "tiny", str(tmp_path / "x.tar"))
    assert "adp.parquet is damaged, or was changed meanwhile" in done.stderr
    table.unlink()
    done = fastpipe(site, "pack-study", "tiny", str(tmp_path / "x.tar"))
    assert "tiny is not finished: 1 of its" in done.stderr
    assert "Run `snakemake tiny` first." in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == [site.folder.name]


@pytest.mark.fault(12)
def test_flipped_bits_of_a_pack_are_noticed_or_change_nothing(light, opened, tally, tmp_path):
    right = contents(opened.folder)
    whole = light.read_bytes()
    noticed = 0
    for number in range(tally.times(20, 400)):
        damaged = bytearray(whole)
        damaged[tally.random.randrange(len(whole))] ^= 1 << tally.random.randrange(8)
        pack, folder = tmp_path / "damaged.tar", tmp_path / f"opened-{number}"
        pack.write_bytes(damaged)
        try:
            open_study(pack, folder)
            assert contents(folder) == right
            shutil.rmtree(folder)
        except UserError as error:
            assert str(pack) in str(error)
            assert not folder.exists()
            noticed += 1
    assert noticed > 0
    tally.add("flips in packs", number + 1)


@pytest.mark.fault(13)
def test_a_pack_cut_short_is_noticed(light, tally, tmp_path):
    whole = light.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for length in [0, 1, 511, 512, *(tally.random.randrange(end) for _ in range(10))]:
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"damaged|cut short|no packed study"):
            open_study(tmp_path / "cut.tar", tmp_path / "opened")
        assert [file.name for file in tmp_path.iterdir()] == ["cut.tar"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def member(name: str, **fields) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


HOSTILE = {
    "outside": member("../evil"),
    "absolute": member("/tmp/evil"),
    "hidden outside": member("results/../../evil"),
    "code": member("Snakefile"),
    "symbolic link": member("results/link", type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member("results/link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "device": member("results/device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": member("results/pipe", type=tarfile.FIFOTYPE),
    "folder": member("results/folder", type=tarfile.DIRTYPE),
}


@pytest.mark.fault(29)
@pytest.mark.parametrize("told", [True, False], ids=["in the manifest", "beside it"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_but_plain_files_inside_comes_out_of_a_pack(kind, told, tmp_path):
    extra = HOSTILE[kind]
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    files = {extra.name: [0, nothing]} if told else {}
    manifest = {"study": "s", "code": {}, "files": files, "left_out": {}}
    text = json.dumps(signed(manifest)).encode()
    (tmp_path / "here").mkdir()
    with tarfile.open(tmp_path / "here" / "hostile.tar", "w") as tar:
        tar.addfile(member(PACKED.as_posix(), size=len(text)), io.BytesIO(text))
        tar.addfile(extra)
    with pytest.raises(UserError, match="does not belong in a pack"):
        open_study(tmp_path / "here" / "hostile.tar", tmp_path / "here" / "opened")
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "hostile.tar"]


def test_a_folder_with_something_in_it_is_left_alone(light, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UserError, match=r"is there and not empty\. Name a new folder"):
        open_study(light, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_that_is_no_pack(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.tar"):
        open_study(tmp_path / "none.tar", tmp_path / "opened")
    (tmp_path / "text.tar").write_text("text" * 1000)
    with pytest.raises(UserError, match="damaged or no packed study"):
        open_study(tmp_path / "text.tar", tmp_path / "opened")
