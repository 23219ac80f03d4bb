"""Downloads stand complete or not at all, and are shared."""

import errno
import threading
import time

import pytest

from fastpipe.data.providers.downloads import downloaded, forget
from fastpipe.errors import UserError


def test_a_download_is_fetched_once(tmp_path):
    calls = []

    def fetch(folder):
        calls.append(folder)
        (folder / "x").write_text("content")

    for _ in range(2):
        folder = downloaded(tmp_path / "new", "a", fetch)
        assert (folder / "x").read_text() == "content"
    assert len(calls) == 1
    forget(tmp_path / "new", "a")
    downloaded(tmp_path / "new", "a", fetch)
    assert len(calls) == 2


@pytest.mark.fault(29)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_download_leaves_nothing(tmp_path, error):
    def fetch(folder):
        (folder / "half").write_text("…")
        raise error

    with pytest.raises(error):
        downloaded(tmp_path, "a", fetch)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.fault(29)
def test_what_a_killed_download_left_is_cleared(tmp_path):
    (tmp_path / ".a.partial").mkdir()
    (tmp_path / ".a.partial/stale").touch()
    folder = downloaded(tmp_path, "a", lambda to: (to / "x").touch())
    assert [path.name for path in folder.iterdir()] == ["x"]


def test_two_jobs_share_one_download(tmp_path):
    calls = []

    def fetch(folder):
        calls.append(folder)
        time.sleep(0.2)

    jobs = [threading.Thread(target=downloaded, args=(tmp_path, "a", fetch)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(calls) == 1


def test_a_full_disk_is_a_user_error(tmp_path):
    def fetch(folder):
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(UserError, match=r"no space left on the device while writing .*a"):
        downloaded(tmp_path, "a", fetch)


@pytest.mark.fault(21)
@pytest.mark.parametrize("name", ["../../evil", "@scope/name", "..", "a b\n", "x" * 400, "ü"])
def test_any_name_stays_in_the_folder(tmp_path, name):
    folder = downloaded(tmp_path / "d", name, lambda to: None)
    assert folder.parent == tmp_path / "d"
    assert folder.is_dir()
    assert folder != downloaded(tmp_path / "d", name + "_", lambda to: None)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
