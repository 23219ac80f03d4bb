"""How large and how costly a network's body is, known without importing torch.

The numbers of torchvision's networks were counted once; tests compare them with what torchvision
says of all, and count those of one of each family again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Network", "network_of"]


class Network(NamedTuple):
    """A body."""

    numbers: int
    """Parameters and running statistics: what a state holds, four bytes each."""
    features: int
    """Its length D of features."""
    gmacs: float
    """10⁹ multiplications with additions that one image of `size` × `size` pixels costs."""
    activations: int
    """Numbers that its layers compute for such an image."""
    size: int

    def gmacs_at(self, size: int) -> float:
        """At another size of images: as its square, which is exact for convolutions."""
        return self.gmacs * (size / self.size) ** 2

    def activations_at(self, size: int) -> float:
        """At another size of images, likewise."""
        return self.activations * (size / self.size) ** 2


def network_of(backbone: Mapping[str, Any], channels: int) -> Network | None:
    """A backbone's body, by its fields in a spec; None for one that is not known (timm's)."""
    if backbone["name"] == "small-cnn":
        return _small_cnn(channels, backbone["widths"], backbone.get("normalisation", "batch"))
    return _LENET5 if backbone["name"] == "lenet5" else _TORCHVISION.get(backbone["name"])


def _small_cnn(channels: int, widths: Sequence[int], normalisation: str) -> Network:
    side, before, last = 28, channels, 0
    numbers, macs = 0, 0
    activations = 2 * widths[-1]  # the mean over all positions, twice: as [D, 1, 1] and [D]
    layers = 2 if normalisation == "none" else 3  # convolution, BatchNorm, ReLU
    for width in widths:
        if width > last:
            side = -(-side // 2)
        numbers += 9 * before * width + (1 if normalisation == "none" else 4) * width
        numbers += normalisation != "none"  # how many batches BatchNorm has seen
        macs += 9 * before * width * side * side
        activations += layers * width * side * side
        before = last = width
    return Network(numbers, widths[-1], macs / 1e9, activations, 28)


_LENET5 = Network(60_856, 84, 0.00042, 15_736, 32)

_TORCHVISION = {
    "alexnet": Network(57_003_840, 4096, 0.714, 1_101_312, 224),
    "convnext_base": Network(87_566_464, 1024, 15.355, 67_189_760, 224),
    "convnext_large": Network(196_230_336, 1536, 34.361, 100_784_640, 224),
    "convnext_small": Network(49_454_688, 768, 8.684, 50_392_320, 224),
    "convnext_tiny": Network(27_820_128, 768, 4.456, 31_425_792, 224),
    "densenet121": Network(7_037_625, 1024, 2.834, 38_561_280, 224),
    "densenet161": Network(26_692_097, 2208, 7.728, 70_364_640, 224),
    "densenet169": Network(12_643_049, 1664, 3.36, 45_649_280, 224),
    "densenet201": Network(18_322_185, 1920, 4.291, 57_566_336, 224),
    "efficientnet_b0": Network(4_049_613, 1280, 0.386, 19_874_520, 224),
    "efficientnet_b1": Network(6_575_301, 1280, 0.687, 32_224_480, 240),
    "efficientnet_b2": Network(7_768_631, 1408, 1.088, 47_979_796, 288),
    "efficientnet_b3": Network(10_783_606, 1536, 1.827, 70_560_016, 300),
    "efficientnet_b4": Network(17_673_912, 1792, 4.394, 146_923_720, 380),
    "efficientnet_b5": Network(28_513_636, 2048, 10.266, 294_159_056, 456),
    "efficientnet_b6": Network(40_960_270, 2304, 19.068, 498_300_624, 528),
    "efficientnet_b7": Network(64_097_843, 2560, 37.746, 864_485_952, 600),
    "efficientnet_v2_l": Network(117_747_065, 1280, 56.08, 479_459_968, 480),
    "efficientnet_v2_m": Network(53_150_545, 1280, 24.582, 272_195_304, 480),
    "efficientnet_v2_s": Network(20_331_470, 1280, 8.366, 108_276_144, 384),
    "googlenet": Network(5_614_521, 1024, 1.498, 7_872_864, 224),
    "inception_v3": Network(21_820_094, 2048, 5.713, 18_517_376, 299),
    "maxvit_t": Network(30_508_096, 512, 5.558, 84_696_128, 224),
    "mnasnet0_5": Network(958_188, 1280, 0.104, 8_822_560, 224),
    "mnasnet0_75": Network(1_919_068, 1280, 0.215, 13_690_416, 224),
    "mnasnet1_0": Network(3_140_284, 1280, 0.314, 15_713_920, 224),
    "mnasnet1_3": Network(5_050_124, 1280, 0.526, 21_145_472, 224),
    "mobilenet_v2": Network(2_258_036, 1280, 0.301, 19_464_576, 224),
    "mobilenet_v3_large": Network(4_226_478, 1280, 0.217, 12_644_264, 224),
    "mobilenet_v3_small": Network(1_530_002, 1024, 0.057, 4_106_792, 224),
    "regnet_x_16gf": Network(52_340_775, 2048, 15.941, 75_067_392, 224),
    "regnet_x_1_6gf": Network(8_320_699, 912, 1.603, 23_317_200, 224),
    "regnet_x_32gf": Network(105_452_650, 2520, 31.736, 106_941_072, 224),
    "regnet_x_3_2gf": Network(14_350_192, 1008, 3.177, 33_515_664, 224),
    "regnet_x_400mf": Network(5_132_903, 400, 0.414, 9_320_208, 224),
    "regnet_x_800mf": Network(6_624_021, 672, 0.8, 15_054_144, 224),
    "regnet_x_8gf": Network(37_742_186, 1920, 7.995, 41_505_664, 224),
    "regnet_y_128gf": Network(637_835_052, 7392, 374.57, 620_549_860, 384),
    "regnet_y_16gf": Network(80_688_015, 3024, 15.912, 67_679_432, 224),
    "regnet_y_1_6gf": Network(10_366_188, 888, 1.612, 23_777_380, 224),
    "regnet_y_32gf": Network(141_492_123, 3712, 32.28, 89_056_028, 224),
    "regnet_y_3_2gf": Network(17_989_566, 1512, 3.176, 33_205_972, 224),
    "regnet_y_400mf": Network(3_930_349, 440, 0.402, 11_380_016, 224),
    "regnet_y_800mf": Network(5_677_991, 784, 0.834, 15_845_552, 224),
    "regnet_y_8gf": Network(37_451_056, 2016, 8.473, 57_845_776, 224),
    "resnet101": Network(42_605_608, 2048, 7.801, 47_395_328, 224),
    "resnet152": Network(58_295_387, 2048, 11.514, 66_361_856, 224),
    "resnet18": Network(11_186_132, 512, 1.814, 7_477_248, 224),
    "resnet34": Network(21_301_732, 512, 3.664, 11_240_448, 224),
    "resnet50": Network(23_561_205, 2048, 4.089, 32_041_472, 224),
    "resnext101_32x8d": Network(86_945_320, 2048, 16.414, 92_327_936, 224),
    "resnext101_64x4d": Network(81_609_256, 2048, 15.46, 92_327_936, 224),
    "resnext50_32x4d": Network(23_048_181, 2048, 4.23, 41_901_056, 224),
    "shufflenet_v2_x0_5": Network(349_800, 1024, 0.04, 2_945_728, 224),
    "shufflenet_v2_x1_0": Network(1_269_840, 1024, 0.145, 5_464_720, 224),
    "shufflenet_v2_x1_5": Network(2_502_120, 1024, 0.296, 7_687_360, 224),
    "shufflenet_v2_x2_0": Network(5_378_768, 2048, 0.583, 10_357_904, 224),
    "swin_b": Network(86_800_848, 1024, 15.431, 58_357_760, 224),
    "swin_s": Network(48_894_882, 768, 8.741, 43_768_320, 224),
    "swin_t": Network(27_548_166, 768, 4.491, 27_511_296, 224),
    "swin_v2_b": Network(87_014_952, 1024, 20.325, 81_376_888, 256),
    "swin_v2_s": Network(49_077_546, 768, 11.546, 62_415_066, 256),
    "swin_v2_t": Network(27_637_122, 768, 5.94, 38_384_202, 256),
    "vgg11": Network(128_766_336, 4096, 7.609, 16_436_224, 224),
    "vgg11_bn": Network(128_777_352, 4096, 7.609, 23_862_272, 224),
    "vgg13": Network(128_950_848, 4096, 11.308, 26_070_016, 224),
    "vgg13_bn": Network(128_962_634, 4096, 11.308, 38_312_960, 224),
    "vgg16": Network(134_260_544, 4096, 15.47, 28_679_168, 224),
    "vgg16_bn": Network(134_277_453, 4096, 15.47, 42_226_688, 224),
    "vgg19": Network(139_570_240, 4096, 19.632, 31_288_320, 224),
    "vgg19_bn": Network(139_592_272, 4096, 19.632, 46_140_416, 224),
    "vit_b_16": Network(85_798_656, 768, 17.564, 31_318_272, 224),
    "vit_b_32": Network(87_455_232, 768, 4.409, 7_948_800, 224),
    "vit_h_14": Network(630_764_800, 1280, 167.295, 179_941_120, 224),
    "vit_l_16": Network(303_301_632, 1024, 61.555, 82_910_208, 224),
    "vit_l_32": Network(305_510_400, 1024, 15.378, 21_043_200, 224),
    "wide_resnet101_2": Network(124_975_656, 2048, 22.753, 62_372_864, 224),
    "wide_resnet50_2": Network(66_902_517, 2048, 11.398, 41_901_056, 224),
}
