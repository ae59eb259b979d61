"""EMMA: a MAE-pretrained ViT scores expressions and action units; these and a frozen CNN give valence, arousal.

Source: Li et al. 2022 (arXiv 2207.11679), section "Multi-task learning". Idea 2 of the paper: scores are pure and
intact features, so valence and arousal are regressed from scores rather than from the transformer's features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from affect_core.backbones import build_encoder
from affect_core.dan import DAN, DANConfig, FrozenPrior
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, AffectPrediction
from affect_core.losses import CCCFormula
from affect_core.mae import MAE
from affect_core.priors import CustomPriorConfig, ExpressionPrior, check_prior
from affect_core.vit import ViTConfig, ViTEncoder

ValenceArousalSource = Literal["both_scores", "vit_scores", "cnn_scores", "vit_features", "both_scores_detached"]
PositiveWeights = Literal["training", "published"]


@dataclass(frozen=True)
class EMMAConfig:
    """Defaults: the published model.

    vit        the encoder
    prior      what the frozen network is; EMMA fills this in from the prior it is given
    hidden     units of the ViT's head: width -> hidden -> 8 expression + 12 action-unit scores
    va_hidden  units of the valence-arousal head
    va_source  what valence and arousal are regressed from (the ablation of idea 2):
               both_scores           CNN's 8 scores and ViT's 20, as published
               vit_scores            ViT's 20
               cnn_scores            CNN's 8
               vit_features          what the ViT's head reads (the class token), the usual way
               both_scores_detached  as both_scores, but the valence-arousal loss does not train the ViT
    va_lr      fixed learning rate of the valence-arousal head, per step; None lets it follow the schedule
    pos_weight   how much active action units weigh in the loss: "training", inactive / active frames of the training
                 corpus, or "published", the paper's constants for s-Aff-Wild2 (`losses.ACTION_UNIT_POS_WEIGHT`)
    ccc_formula  of the valence-arousal loss, "population" or "published", see `losses.ccc_loss`
    """

    vit: ViTConfig = field(default_factory=ViTConfig)
    prior: DANConfig | CustomPriorConfig = field(default_factory=DANConfig)
    hidden: int = 512
    va_hidden: int = 256
    va_source: ValenceArousalSource = "both_scores"
    va_lr: float | None = 1e-4
    pos_weight: PositiveWeights = field(default="training", metadata={"added": True})
    ccc_formula: CCCFormula = field(default="population", metadata={"added": True})

    def __post_init__(self):
        choices = {"va_source": ValenceArousalSource, "pos_weight": PositiveWeights, "ccc_formula": CCCFormula}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise AffectError(f"{name} {getattr(self, name)!r} is none of {', '.join(get_args(kind))}")

    @property
    def needs_prior(self) -> bool:
        """Whether valence and arousal are read from the CNN's scores too."""
        return self.va_source in ("both_scores", "both_scores_detached", "cnn_scores")


class EMMA(nn.Module):
    """Images -> AffectPrediction of all three tasks."""

    def __init__(self, config: EMMAConfig, prior: DAN | ExpressionPrior | FrozenPrior | None = None):
        """`prior` is the expression CNN, frozen in place; it may be None for a va_source that does not read it.

        Raises AffectError if the config needs a prior and there is none, or it is no `priors.ExpressionPrior`.
        """
        super().__init__()
        if config.needs_prior and prior is None:
            raise AffectError(f"va_source {config.va_source!r} reads the expression prior: EMMA(config, prior)")
        self.prior = None
        if config.needs_prior:
            self.prior = prior if isinstance(prior, FrozenPrior) else FrozenPrior(prior)
            check_prior(self.prior.model)
            config = replace(config, prior=self.prior.config)
        self.config = config

        num_scores = len(EXPRESSIONS) + len(ACTION_UNITS)
        head = nn.Sequential(
            nn.Linear(config.vit.feature_width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, num_scores)
        )
        self.vit = build_encoder(config.vit, head)
        va_inputs = {
            "vit_scores": num_scores,
            "cnn_scores": config.prior.num_classes,
            "vit_features": config.vit.feature_width,
        }.get(config.va_source, num_scores + config.prior.num_classes)
        self.va_head = nn.Sequential(nn.Linear(va_inputs, config.va_hidden), nn.ReLU(), nn.Linear(config.va_hidden, 2))

    def forward(self, images: Tensor) -> AffectPrediction:
        """Normalised images (N, 3, H, W) -> prediction with expression_logits (N, 8), action_unit_logits (N, 12) and
        valence_arousal (N, 2), the last not bounded to [-1, 1]."""
        return self.forward_with_prior(images)[0]

    def forward_with_prior(self, images: Tensor) -> tuple[AffectPrediction, Tensor | None]:
        """The prediction of `forward`, and the CNN's scores (N, 8) that it was made with (None without a CNN)."""
        features = self.vit.features(images)  # (N, F); the class token, as published
        prior_scores = None if self.prior is None else self.prior(images)  # (N, 8)
        return self.predict_from(features, prior_scores), prior_scores

    def predict_from(self, features: Tensor, prior_scores: Tensor | None) -> AffectPrediction:
        """The prediction from what the ViT's head reads (N, F), see `ViTEncoder.features`, and the CNN's scores."""
        scores = self.vit.head(features)  # (N, 20)
        return AffectPrediction(
            expression_logits=scores[:, : len(EXPRESSIONS)],
            action_unit_logits=scores[:, len(EXPRESSIONS) :],
            valence_arousal=self.va_head(self._va_inputs(features, scores, prior_scores)),
            vocabulary=EXPRESSIONS,
        )

    def init_from_mae(self, mae: MAE | ViTEncoder) -> None:
        """Start the ViT from a pretrained encoder; the heads keep their random weights."""
        self.vit.load_encoder(mae.encoder if isinstance(mae, MAE) else mae)

    @property
    def fixed_lr(self) -> dict[str, float]:
        """Learning rates that no schedule changes, by parameter name prefix; read by `optim.parameter_groups`."""
        return {} if self.config.va_lr is None else {"va_head.": self.config.va_lr}

    def group_matcher(self, coarse: bool = False) -> dict:
        """Which parameters belong to which layer, for timm's layer-wise learning-rate decay."""
        return {
            "stem": r"^vit\.(?:cls_token|reg_token|pos_embed|patch_embed|norm_pre)",
            "blocks": [(r"^vit\.blocks\.(\d+)", None), (r"^vit\.norm", (99999,))],
        }

    def _va_inputs(self, features: Tensor, scores: Tensor, prior_scores: Tensor | None) -> Tensor:
        source = self.config.va_source
        if source == "vit_features":
            return features
        if source == "vit_scores":
            return scores
        if source == "cnn_scores":
            return prior_scores
        if source == "both_scores_detached":
            scores = scores.detach()
        return torch.cat([prior_scores, scores], dim=1)
