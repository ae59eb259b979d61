"""The masked auto-encoders of other packages, as their users would train them, at the size of ours."""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from affect_core.errors import AffectError
from affect_core.mae import MAEConfig


class TransformersMAE(nn.Module):
    """`ViTMAEForPreTraining` of Hugging Face's transformers."""

    def __init__(self, config: MAEConfig):
        super().__init__()
        transformers = _package("transformers")
        vit = config.vit
        self.model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(
            image_size=vit.image_size, patch_size=vit.patch_size, hidden_size=vit.width, num_hidden_layers=vit.depth,
            num_attention_heads=vit.heads, intermediate_size=int(vit.width * vit.mlp_ratio), layer_norm_eps=1e-6,
            decoder_hidden_size=config.decoder_width, decoder_num_hidden_layers=config.decoder_depth,
            decoder_num_attention_heads=config.decoder_heads,
            decoder_intermediate_size=int(config.decoder_width * vit.mlp_ratio),
            mask_ratio=config.mask_ratio, norm_pix_loss=config.norm_pix_loss,
        ))  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> loss ()."""
        return self.model(pixel_values=images).loss


class LightlyMAE(nn.Module):
    """The MAE that lightly's documentation assembles from its parts, with normalised targets."""

    def __init__(self, config: MAEConfig):
        super().__init__()
        modules, self.tools = _package("lightly.models.modules"), _package("lightly.models.utils")
        vit = config.vit
        timm_vit = VisionTransformer(vit.image_size, vit.patch_size, embed_dim=vit.width, depth=vit.depth,
                                     num_heads=vit.heads, mlp_ratio=vit.mlp_ratio, num_classes=0)  # fmt: skip
        self.mask_ratio, self.patch_size, self.normalise = config.mask_ratio, vit.patch_size, config.norm_pix_loss
        self.backbone = modules.MaskedVisionTransformerTIMM(vit=timm_vit)
        self.length = self.backbone.sequence_length
        self.decoder = modules.MAEDecoderTIMM(
            num_patches=vit.num_patches, patch_size=vit.patch_size, embed_dim=vit.width,
            decoder_embed_dim=config.decoder_width, decoder_depth=config.decoder_depth,
            decoder_num_heads=config.decoder_heads, mlp_ratio=vit.mlp_ratio,
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> loss ()."""
        tools, n = self.tools, len(images)
        keep, hidden = tools.random_token_mask(size=(n, self.length), mask_ratio=self.mask_ratio, device=images.device)
        embedded = self.decoder.embed(self.backbone.encode(images=images, idx_keep=keep))
        tokens = tools.repeat_token(self.decoder.mask_token, (n, self.length))
        tokens = tools.set_at_index(tokens, keep, embedded.type_as(tokens))
        prediction = self.decoder.predict(tools.get_at_index(self.decoder.decode(tokens), hidden))
        target = tools.get_at_index(tools.patchify(images, self.patch_size), hidden - 1)
        if self.normalise:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        return nn.functional.mse_loss(prediction.float(), target)


def _package(name: str):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as error:
        raise AffectError(f"{name} is not installed; the benchmarks need: pip install -e '.[bench]'") from error
