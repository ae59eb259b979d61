"""DAN, the convolutional expression network whose frozen scores help EMMA (half of idea 2).

Source: Wen et al., Distract Your Attention: Multi-head Cross Attention Network for Facial Expression Recognition,
2021. Trained here with cross entropy alone: the paper's affinity and partition losses are left out.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from affect_core.errors import AffectError


@dataclass(frozen=True)
class DANConfig:
    """Defaults: the published AffectNet-8 network on 224 px.

    num_classes   expressions
    num_heads     cross-attention heads
    width         channels of the first ResNet stage; the last has 8 x width. A multiple of 4.
    small_images  leave out the max-pool of the ResNet stem. For 64 px images the last map is then 4 x 4, not 2 x 2.
    auxiliary     a second, linear classifier on the pooled trunk, for training from random weights. The published trunk
                  came pretrained on identities; from scratch, the heads alone do not move it (measured: still at chance
                  after 370 steps), for their fused vector only says how unequal they are. With `auxiliary` that
                  classifier trains the trunk, and the heads read it as if it were pretrained.
    """

    num_classes: int = 8
    num_heads: int = 4
    width: int = 64
    small_images: bool = False
    auxiliary: bool = False

    def __post_init__(self):
        if self.width % 4:
            raise AffectError(f"DAN's width must be a multiple of 4, not {self.width}")


class DAN(nn.Module):
    """ResNet-18 trunk, parallel cross-attention heads, their fused vectors, a linear layer. Any image size from 32 px.

    Attribute names are those of the published checkpoints.
    """

    def __init__(self, config: DANConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Identity() if config.small_images else nn.MaxPool2d(3, stride=2, padding=1),
            _resnet_stage(width, width, stride=1),
            _resnet_stage(width, 2 * width, stride=2),
            _resnet_stage(2 * width, 4 * width, stride=2),
            _resnet_stage(4 * width, 8 * width, stride=2),
        )
        for index in range(config.num_heads):
            self.add_module(f"cat_head{index}", CrossAttentionHead(8 * width))
        self.fc = nn.Linear(8 * width, config.num_classes)
        self.bn = nn.BatchNorm1d(config.num_classes)
        if config.auxiliary:
            self.auxiliary = nn.Linear(8 * width, config.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) -> expression logits (N, num_classes). In training N is at least 2."""
        return self.attend(self.features(images))

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the network, whose gradient stops before the trunk, and of the auxiliary classifier that trains it.

        Both (N, num_classes); see DANConfig.auxiliary.
        """
        trunk = self.features(images)
        return self.attend(trunk.detach()), self.auxiliary(trunk.mean(dim=(2, 3)))

    def attend(self, trunk: Tensor) -> Tensor:
        """Trunk (N, 8 * width, H / 32, W / 32), or / 16 with small_images -> logits (N, num_classes)."""
        heads = [getattr(self, f"cat_head{index}") for index in range(self.config.num_heads)]
        attended = torch.stack([head(trunk) for head in heads], dim=1)  # (N, heads, 8 * width)
        # log-softmax across the heads: a channel that one head claims is a channel the others lose
        fused = attended.log_softmax(dim=1).sum(dim=1)  # (N, 8 * width)
        return self.bn(self.fc(fused))


class CrossAttentionHead(nn.Module):
    """One head: where to look (spatial attention), then which channels count (channel attention)."""

    def __init__(self, channels: int):
        super().__init__()
        self.sa = SpatialAttention(channels)
        self.ca = ChannelAttention(channels)

    def forward(self, trunk: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return self.ca(self.sa(trunk))


class SpatialAttention(nn.Module):
    """One map that multiplies all channels: relu(conv3x3 + conv1x3 + conv3x1), summed over channels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // 2
        self.conv1x1 = _convolution(channels, hidden, (1, 1))
        self.conv_3x3 = _convolution(hidden, channels, (3, 3))
        self.conv_1x3 = _convolution(hidden, channels, (1, 3))
        self.conv_3x1 = _convolution(hidden, channels, (3, 1))

    def attention_map(self, trunk: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W), at least 0."""
        hidden = self.conv1x1(trunk)
        responses = (self.conv_3x3(hidden) + self.conv_1x3(hidden) + self.conv_3x1(hidden)).relu()
        return responses.sum(dim=1, keepdim=True)

    def forward(self, trunk: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return trunk * self.attention_map(trunk)


class _MergedSpatialAttention(SpatialAttention):
    """The same map from one 3x3 convolution, for the sum of three is one whose kernel is their sum.

    spatial: one whose BatchNorms are folded.
    """

    def __init__(self, spatial: SpatialAttention):
        nn.Module.__init__(self)
        square, row, column = (branch[0] for branch in (spatial.conv_3x3, spatial.conv_1x3, spatial.conv_3x1))
        self.conv1x1, self.convolution = spatial.conv1x1, copy.deepcopy(square)
        with torch.no_grad():
            self.convolution.weight[:, :, 1:2, :] += row.weight
            self.convolution.weight[:, :, :, 1:2] += column.weight
            self.convolution.bias += row.bias + column.bias

    def attention_map(self, trunk: Tensor) -> Tensor:
        return self.convolution(self.conv1x1(trunk)).relu_().sum(dim=1, keepdim=True)


class ChannelAttention(nn.Module):
    """Pool over the image, then weight each channel by a sigmoid of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // 16
        self.attention = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, attended: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        pooled = attended.mean(dim=(2, 3))  # (N, C)
        return pooled * self.attention(pooled)


class FrozenPrior(nn.Module):
    """A network that never learns: eval mode whatever `.train()` says, no gradients, BatchNorm statistics untouched.

    The network is frozen in place, not copied. (The published EMMA puts its "frozen" CNN in train mode with the rest,
    so that its statistics drift.) It is run in its cheapest equal form: each BatchNorm folded into the convolution
    before it, its three parallel convolutions summed into one (of a DAN; another network runs as it is), channels last.
    What a hook on the network sees is that form, if the hook was there at the first forward, and nothing if it was not.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.requires_grad_(False)
        self.model.eval()
        self._fast: tuple[tuple, nn.Module] | None = None  # in a tuple: no submodule, not in the state dict

    @property
    def config(self):
        """The config of the wrapped model."""
        return self.model.config

    def train(self, mode: bool = True) -> FrozenPrior:
        """Stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """What the wrapped model says in eval mode, detached: no gradient reaches the images either."""
        if self.model.training:  # somebody called `.train()` on the network itself
            self.model.eval()
        if not isinstance(self.model, DAN):
            return self.model(images)
        return self._folded()(images.contiguous(memory_format=torch.channels_last))

    def _folded(self) -> nn.Module:
        """The folded copy, made anew whenever a weight of the wrapped DAN has changed or moved, or a layer is another.

        Writing to `weight.data` is no change that PyTorch counts; assign or copy under `torch.no_grad()` instead.
        """
        tensors = list(itertools.chain(self.model.parameters(), self.model.buffers()))
        versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
        state = *map(id, self.model.modules()), *versions, *(tensor.data_ptr() for tensor in tensors)
        if self._fast is None or self._fast[0] != state:
            if not all(torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()):
                raise AffectError(
                    "a weight or BatchNorm statistic of the frozen CNN is not finite. Its variances exceed what "
                    "float16 holds: use bfloat16, or autocast, in place of .half()"
                )
            self._fast = state, fold_batchnorm(self.model).to(memory_format=torch.channels_last)
        return self._fast[1]


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """A copy of `model`, in eval mode, in which every Conv2d followed by a BatchNorm2d is one convolution.

    "Followed" by order of registration, which in DAN is that of execution; DAN's three summed convolutions become
    one. Equal to the model up to rounding.
    """
    folded = copy.deepcopy(model).eval()
    for module in list(folded.modules()):
        for (name, first), (next_name, second) in itertools.pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, next_name, nn.Identity())
    for module in list(folded.modules()):
        if isinstance(module, CrossAttentionHead):
            module.sa = _MergedSpatialAttention(module.sa)
    return folded


def _resnet_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs))
