"""Ordered providers: the first that can serve does; if none can, the error says why each failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastpipe.config.dataset import (
    FolderProvider,
    PackageProvider,
    Provider,
    SklearnProvider,
    TorchvisionProvider,
)
from fastpipe.data.providers.from_folder import provide_folder
from fastpipe.data.providers.from_packages import provide_package
from fastpipe.data.providers.from_sklearn import provide_sklearn
from fastpipe.data.providers.from_torchvision import provide_torchvision
from fastpipe.data.providers.provided import Provided, UnavailableError
from fastpipe.errors import UserError

__all__ = ["describe", "serve"]


def serve(
    providers: Sequence[Provider], sha256: Mapping[str, str], downloads: Path
) -> tuple[Provider, Provided]:
    """The first provider that can serve, and what it serves.

    Raises UserError naming every provider that was tried and why it failed.
    """
    failures = []
    for provider in providers:
        try:
            return provider, _provide(provider, sha256, downloads)
        except UnavailableError as reason:
            failures.append(f"{describe(provider)}: {reason}")
    tried = "\n".join(f"  {number}. {failure}" for number, failure in enumerate(failures, start=1))
    raise UserError(
        f"no provider could serve the images:\n{tried}\n"
        "Mend one of them, or name a folder that holds the images as a provider."
    )


def describe(provider: Provider) -> str:
    """A provider in a few words, as on the card."""
    match provider:
        case TorchvisionProvider():
            return f"torchvision {provider.name}"
        case SklearnProvider():
            return f"sklearn {provider.name}"
        case FolderProvider():
            return f"folder {provider.path}"
        case PackageProvider():
            return (
                f"{provider.registry} package {provider.package} {provider.version or ''}".strip()
            )


def _provide(provider: Provider, sha256: Mapping[str, str], downloads: Path) -> Provided:
    match provider:
        case TorchvisionProvider():
            return provide_torchvision(provider, sha256, downloads)
        case SklearnProvider():
            return provide_sklearn(provider, sha256)
        case FolderProvider():
            return provide_folder(provider, sha256)
        case PackageProvider():
            return provide_package(provider, sha256, downloads)
