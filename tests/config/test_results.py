from pathlib import Path

import pytest

from fastpipe.config.results import place_results
from fastpipe.errors import UserError


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_without_a_setting_nothing_is_made() -> None:
    place_results(None)
    assert not Path("results").exists()


@pytest.mark.parametrize("place", ["../große Platte/meine", "elsewhere"])
def test_results_become_a_link_once(place: str) -> None:
    for _ in range(2):
        place_results(place)
    assert Path("results").is_symlink()
    Path("results/one").write_text("1")
    assert Path(place, "one").read_text() == "1"


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place_results("~/mine")
    assert Path("results").resolve() == tmp_path / "mine"


def test_an_empty_folder_gives_way() -> None:
    Path("results").mkdir()
    place_results("elsewhere")
    assert Path("results").resolve() == Path("elsewhere").resolve()


def test_results_that_are_there_are_not_hidden() -> None:
    Path("results").mkdir()
    Path("results/one").write_text("1")
    with pytest.raises(
        UserError, match=r"Move them \(mv -T results elsewhere; that folder must be empty"
    ):
        place_results("elsewhere")
    Path("results").rename("elsewhere")
    place_results("elsewhere")
    assert Path("results/one").read_text() == "1"


def test_a_link_elsewhere_is_not_replaced() -> None:
    place_results("one")
    with pytest.raises(UserError, match="'two', but results leads to one"):
        place_results("two")
    assert Path("results").resolve() == Path("one").resolve()


def test_a_place_that_cannot_be_made() -> None:
    Path("file").write_text("")
    with pytest.raises(UserError, match="'file/below': Not a directory"):
        place_results("file/below")
