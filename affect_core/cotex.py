"""CoTEX: parallel MAE-pretrained ViTs, each seeing its own random subset of one face's patches (ideas 3 and 4).

Source: Li et al. 2022 (arXiv 2207.11679), section "Learning from synthetic data". In training the views hide most
patches and their predictions are pulled together (`losses.cotex_loss`); at test time nothing is hidden and the
views' logits are summed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from affect_core.backbones import build_encoder
from affect_core.distributed import Share
from affect_core.errors import AffectError
from affect_core.labels import LSD_EXPRESSIONS, AffectPrediction
from affect_core.mae import MAE
from affect_core.patches import draw_visible, num_visible
from affect_core.vit import ViTConfig, ViTEncoder


@dataclass(frozen=True)
class CoTEXConfig:
    """Defaults: the paper's two views.

    vit         the encoder of each view
    vocabulary  the expressions, in column order
    views       parallel encoders, from 2; 1 is allowed as the "no co-training" ablation
    mask_ratio  share of patches hidden from each view in training, in [0, 1). The paper hides most; the published
                script leaves it at 0.
    js_weight   weight of the JS divergence in the loss. The divergence is a mean over batch and classes, as published,
                so 100 with 6 classes weighs the divergence of an image, in nats, by 100 / 6.
    """

    vit: ViTConfig = field(default_factory=ViTConfig)
    vocabulary: tuple[str, ...] = LSD_EXPRESSIONS
    views: int = 2
    mask_ratio: float = 0.75
    js_weight: float = 100.0

    def __post_init__(self):
        if self.views < 1:
            raise AffectError(f"CoTEX needs at least one view, not {self.views}")
        num_visible(self.vit.num_patches, self.mask_ratio)  # raises for a ratio out of range


class CoTEX(nn.Module):
    """Images -> logits of each view."""

    def __init__(self, config: CoTEXConfig):
        super().__init__()
        self.config = config
        self.views = nn.ModuleList(
            build_encoder(config.vit, nn.Linear(config.vit.feature_width, len(config.vocabulary)))
            for _ in range(config.views)
        )

    def forward(
        self, images: Tensor, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Tensor:
        """Normalised images (N, 3, H, W) -> logits (views, N, C).

        In training each view of each image sees its own random patches, drawn from `generator`; in eval mode all.
        The images may be a process's `share` of a batch.
        """
        ids_keep = self.draw_patches(images, generator, share)
        pairs = zip(self.views, ids_keep, strict=True)
        return torch.stack([view.head(view.features(images, ids)) for view, ids in pairs])

    def draw_patches(
        self, images: Tensor, generator: torch.Generator | None = None, share: Share | None = None
    ) -> list[Tensor | None]:
        """ids_keep (N, K) for each view, independent of one another; None, meaning all patches, in eval mode."""
        vit = self.config.vit
        if not self.training or self.config.mask_ratio == 0:
            return [None] * len(self.views)
        drawn = len(images), vit.num_patches, self.config.mask_ratio, images.device, generator, share
        return [draw_visible(*drawn) for _ in self.views]

    def predict(self, images: Tensor) -> AffectPrediction:
        """The views' summed logits as expression_logits (N, C). Call it in eval mode, where nothing is hidden."""
        return AffectPrediction(expression_logits=self(images).sum(dim=0), vocabulary=self.config.vocabulary)

    def init_from_mae(self, mae: MAE | ViTEncoder) -> None:
        """Start every view from the same pretrained encoder, as published; only their random heads differ."""
        for view in self.views:
            view.load_encoder(mae.encoder if isinstance(mae, MAE) else mae)

    def group_matcher(self, coarse: bool = False) -> dict:
        """Which parameters belong to which layer, for timm's layer-wise decay; layer k of all views is one layer."""
        return {
            "stem": r"^views\.\d+\.(?:cls_token|reg_token|pos_embed|patch_embed|norm_pre)",
            "blocks": [(r"^views\.\d+\.blocks\.(\d+)", None), (r"^views\.\d+\.norm", (99999,))],
        }
