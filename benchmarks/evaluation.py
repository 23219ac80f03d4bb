"""Evaluation: the deployment path beside a bare inference forward and a plain evaluation loop."""

import copy
import statistics

import torch
from torch import Tensor, nn

from benchmarks.networks import network, split, wait, where
from benchmarks.table import Row, print_table
from benchmarks.timing import interleaved, ratio
from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.data.arrays import Split
from fastpipe.evaluation.inference import Evaluator, images_per_batch
from fastpipe.models.compute import Resolved, resolve
from fastpipe.models.folding import FoldedBody
from fastpipe.models.network import Network

__all__ = ["run"]

CASES = {  # backbone → (size, channels, images on a CPU, images on a GPU)
    "small-cnn": (28, 1, 8_000, 400_000),
    "resnet18": (64, 3, 256, 20_000),
}
PLAIN_BATCH = 100  # what evaluation loops commonly use


def run() -> list[Row]:
    """Both references for each network, at the precision `auto` chooses here and at fp32."""
    resolved = resolve(Compute())
    precisions = dict.fromkeys((resolved.precision, "fp32"))
    return [
        row
        for name in CASES
        for precision in precisions
        for row in _measure(name, Resolved(resolved.device, precision))
    ]


def _measure(name: str, resolved: Resolved) -> list[Row]:
    size, channels, on_cpu, on_gpu = CASES[name]
    count = on_gpu if resolved.device.type == "cuda" else on_cpu
    net = network(Backbone(name=name), channels, resolved)
    images = split(count, size, channels)
    resident = images.to(resolved.device, 2**36)
    evaluator = Evaluator(net)
    contestants = {
        "ours": lambda: evaluator.score(resident),
        "bare": _bare_forward(net, resident, resolved),
        "plain": _plain_loop(net, images, resolved),
    }
    seconds = interleaved(contestants, rounds=7)
    speeds = {who: count / statistics.median(times) for who, times in seconds.items()}
    what = f"{name}, {size} px, {resolved.precision}"
    place = where(resolved.device)
    return [
        Row(
            f"evaluation / bare forward: {what}",
            speeds["ours"],
            speeds["bare"],
            ratio(seconds["bare"], seconds["ours"]),
            "images/s",
            "≥ 0.9",
            f"score() of a split beside its body on one resident normalised batch; {place}",
        ),
        Row(
            f"evaluation / plain loop: {what}",
            speeds["ours"],
            speeds["plain"],
            ratio(seconds["plain"], seconds["ours"]),
            "images/s",
            note=f"plain loop: eval mode, no_grad, fp32, NCHW, batch {PLAIN_BATCH}; {place}",
        ),
    ]


def _bare_forward(network: Network, split: Split, resolved: Resolved):
    """The same folded body, at the same batch size, on one batch that is normalised already: no
    slicing, no conversion, no head, no metrics. The most that any evaluation could reach."""
    body = FoldedBody(network.body, network.precision)
    count = len(split)
    rows = min(images_per_batch(split.images.shape[-2:], resolved.device), count)
    with torch.inference_mode():
        batch = network.normalise(split.images[:rows])

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, count, rows):
                body(batch[: min(rows, count - start)])
        wait(resolved.device)

    return forward


def _plain_loop(network: Network, split: Split, resolved: Resolved):
    """What one would write first: eval mode, fp32, contiguous NCHW, one batch after another."""
    plain = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    mean, std = (t[:, None, None] for t in (plain.normalise.mean, plain.normalise.std))
    model = nn.Sequential(plain.body, plain.head)
    images = split.images.contiguous()

    def to_inputs(some: Tensor) -> Tensor:
        return (some.to(resolved.device).float() / 255 - mean) / std

    @torch.no_grad()
    def loop() -> tuple[float, int]:
        loss, correct = 0.0, 0
        for start in range(0, len(split), PLAIN_BATCH):
            labels = split.labels[start : start + PLAIN_BATCH].to(resolved.device)
            logits = model(to_inputs(images[start : start + PLAIN_BATCH]))
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
        return loss, correct

    return loop


if __name__ == "__main__":
    print_table(run())
