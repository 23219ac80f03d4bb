"""A small valid configuration, and what the loader says about it with changes merged in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastpipe.config.config import Config
from fastpipe.config.load import load
from fastpipe.config.problems import ConfigurationError

BASE = """\
datasets:
  near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1}
  own: {providers: [{kind: torchvision, name: MNIST}], size: 28, channels: 1}
sources:
  net: {dataset: own, snapshots: [0, 0.5, 2], epochs: 2}
recipes:
  plain: {}
  fast: {alpha: 0.1, beta: 0.001, head_init: normal}
studies:
  demo:
    title: A title
    arms:
      first: {recipe: plain, snapshots: [net@last], targets: [near]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    """Load BASE with further YAML texts merged over it."""

    def make(*texts: str) -> Config:
        return load(_written(tmp_path, BASE, *texts))

    return make


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """Problems of BASE with further YAML texts merged over it, as `1.yaml:line:column: …`."""

    def find(*texts: str | bytes, base: str = BASE) -> list[str]:
        try:
            load(_written(tmp_path, base, *texts))
        except ConfigurationError as error:
            return [str(problem).removeprefix(f"{tmp_path}/") for problem in error.problems]
        return []

    return find


def _written(folder: Path, *texts: str | bytes) -> list[Path]:
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths
