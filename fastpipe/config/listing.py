"""What lies in a user's image folder, so that a changed folder is prepared again.

A listing is a hash over relative paths and sizes, not over times (a copied folder is the same
folder) nor over bytes (a folder may be large). An image edited to the very same size goes
unnoticed.
"""

import hashlib
import os
from pathlib import Path

from fastpipe.config.dataset import Dataset, FolderProvider

__all__ = ["listings"]


def listings(dataset: Dataset) -> dict[str, str]:
    """Hash of what lies in the dataset's folders: of `train` and `test`, or of the whole.

    Empty if no provider is a folder that exists.
    """
    for provider in dataset.providers:
        if isinstance(provider, FolderProvider):
            root = Path(provider.path).expanduser()
            splits = [root / "train", root / "test"]
            if all(folder.is_dir() for folder in splits):
                return {folder.name: _listing(folder) for folder in splits}
            if root.is_dir():
                return {"whole": _listing(root)}
    return {}


def _listing(folder: Path) -> str:
    total = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            size = path.stat().st_size if path.exists() else -1
            total.update(os.fsencode(path.relative_to(folder)) + b"\0%d\0" % size)
    return total.hexdigest()
