from pathlib import Path

from fastpipe.config.load import load, yaml_files
from fastpipe.config.settings import Settings

SHIPPED = Path(__file__).parents[2] / "config"


def test_the_shipped_configuration_is_valid() -> None:
    read = load(yaml_files(SHIPPED))
    assert "demo" in read.studies
    assert {"baseline", "fast", "warmup", "feature-extraction", "frozen-head"} <= set(read.recipes)


def test_the_defaults_are_those_of_the_shipped_settings() -> None:
    assert load(yaml_files(SHIPPED)).settings == Settings()
