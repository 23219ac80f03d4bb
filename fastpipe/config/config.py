"""The whole configuration."""

from dataclasses import dataclass

from fastpipe.config.dataset import Dataset
from fastpipe.config.recipe import Recipe
from fastpipe.config.settings import Settings
from fastpipe.config.source import Source
from fastpipe.config.study import Study

SECTIONS = {
    "settings": Settings,
    "datasets": Dataset,
    "sources": Source,
    "recipes": Recipe,
    "studies": Study,
}
"""Top-level keys of a configuration file and the model of (each entry of) each."""


@dataclass(frozen=True)
class Config:
    """A validated configuration: every name in it exists."""

    settings: Settings
    datasets: dict[str, Dataset]
    sources: dict[str, Source]
    recipes: dict[str, Recipe]
    studies: dict[str, Study]


def source_channels(config: Config, source: Source) -> int:
    """Channels of the images that a source takes: of its dataset's, or as its weights say."""
    if source.dataset is not None:
        return config.datasets[source.dataset].channels
    return len(source.mean or source.std or (0.0, 0.0, 0.0))
