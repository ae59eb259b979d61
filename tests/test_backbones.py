"""Timm's vision transformers as encoders: the same tokens as timm, patches left out, what cannot be one refused."""

from dataclasses import asdict, replace

import pytest
import timm
import torch
from torch import nn

from affect_core.backbones import TimmEncoder, TimmViTConfig, build_encoder, pretrained_encoder
from affect_core.checkpoints import config_from_dict, load_model, save_weights
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.explain import attention_distance, attention_matrices, readout_maps
from affect_core.explorers import AttentionState, attention_figure
from affect_core.export import save_timm_encoder
from affect_core.mae import MAE, MAEConfig
from affect_core.optim import parameter_groups
from affect_core.profiles import load_profile
from affect_core.project_folders import project_root
from affect_core.vit import ViTConfig, ViTEncoder, resample_positions

SMALL = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "heads": 3}
KINDS = {
    "plain": "vit_tiny_patch16_224",
    "registers": "vit_small_patch14_reg4_dinov2",  # layer scale too
    "no class token": "vit_base_patch16_siglip_224",
    "no class token, registers": "vit_medium_patch16_reg4_gap_256",
    "pre-norm": "vit_base_patch32_clip_224",  # and no bias in the patch projection
    "class token without position": "deit3_small_patch16_224",
    "parallel blocks": "vit_small_patch16_18x2_224",
}


def tiny(kind: str, **changes) -> TimmViTConfig:
    return TimmViTConfig(timm_name=KINDS[kind], **{**SMALL, "drop_path": 0.0, **changes})


def lively(kind: str, **changes) -> TimmEncoder:
    torch.manual_seed(0)
    encoder = build_encoder(tiny(kind, **changes)).eval()
    for parameter in encoder.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
    return encoder


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_stock_timm_with_one_token_about_the_face_first(kind, images):
    encoder = lively(kind)
    stock = timm.create_model(KINDS[kind], img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0,
                              global_pool="").eval()  # fmt: skip
    stock.load_state_dict(encoder.state_dict())
    theirs, ours = stock.forward_features(images), encoder(images)
    patches = theirs[:, stock.num_prefix_tokens :]
    first = theirs[:, 0] if stock.has_class_token else patches.mean(dim=1)
    torch.testing.assert_close(ours[:, 1:], patches, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours[:, 0], first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.features(images), ours[:, 0])
    assert ours.shape == (3, 17, 24) and ours.std(dim=0).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_patches_are_left_out_and_cannot_leak(kind, images):
    encoder = lively(kind)
    everything = torch.arange(16).expand(3, -1)
    torch.testing.assert_close(encoder(images, everything), encoder(images), rtol=1e-4, atol=1e-5)
    ids_keep = torch.tensor([[0, 1, 2]]).expand(3, -1)
    painted = images.clone()
    painted[:, :, 8:] = 99.0  # everything below the first row of patches
    shown = encoder(images, ids_keep)
    assert shown.shape == (3, 4, 24) and torch.equal(shown, encoder(painted, ids_keep))
    painted[:, :, :8, :8] = 0.0
    assert not torch.allclose(shown, encoder(painted, ids_keep)), "what is shown is seen"


def test_sizes_are_timms_unless_given():
    small = TimmViTConfig(timm_name="vit_small_patch14_dinov2")
    assert (small.image_size, small.patch_size, small.width, small.depth, small.heads, small.mlp_ratio) == (
        518, 14, 384, 12, 6, 4.0)  # fmt: skip
    assert replace(small, image_size=112).num_patches == 64
    with pytest.raises(AffectError, match="image_size 100 is not a multiple of patch_size 14"):
        TimmViTConfig(timm_name="vit_small_patch14_dinov2", image_size=100)


@pytest.mark.parametrize(("name", "reason"), [
    ("convnext_atto", "ConvNeXt has no patch tokens"), ("resnet18", "ResNet has no patch tokens"),
    ("swin_tiny_patch4_window7_224", "SwinTransformer has attention, positions or tokens of its own kind"),
    ("eva02_tiny_patch14_224", "Eva has attention, positions or tokens of its own kind"),
    ("deit_tiny_distilled_patch16_224", "VisionTransformerDistilled has"),
    ("vit_tiny_r_s16_p8_224", "a network before its tokens lets every patch see its neighbours"),
    ("vit_smal_patch16_224", "timm has no model .* it has vit_small_patch16_224"), ("", "timm has no model ''"),
])  # fmt: skip
def test_what_cannot_leave_patches_out_is_refused_with_the_reason(name, reason, record_property):
    with pytest.raises(AffectError, match=reason):
        TimmViTConfig(timm_name=name)
    record_property("reliability", {"part": "backbones", "case": f"encoder {name or 'without a name'}",
                                    "treatment": f"refused: {reason}"})  # fmt: skip


@pytest.mark.parametrize("kind", ["registers", "no class token, registers", "pre-norm"])
def test_mae_emma_and_cotex_train_on_it_and_come_back_from_their_files(kind, images, tmp_path):
    vit = tiny(kind)
    mae = MAE(MAEConfig(vit=vit, decoder_width=16, decoder_depth=1, decoder_heads=2))
    mae.training_loss(images, generator=torch.Generator().manual_seed(0)).backward()
    weight = mae.encoder.patch_embed.proj.weight
    assert weight.grad.abs().sum() > 0 and mae.reconstruct(images).completed.shape == images.shape
    emma = EMMA(EMMAConfig(vit=vit, hidden=8, va_hidden=4, va_source="vit_scores"))
    cotex = CoTEX(CoTEXConfig(vit=vit))
    for model in (emma, cotex):
        model.init_from_mae(mae)
    assert torch.equal(emma.vit.patch_embed.proj.weight, weight)
    cotex.train()(images, torch.Generator().manual_seed(0)).sum().backward()
    assert cotex.views[1].patch_embed.proj.weight.grad.abs().sum() > 0
    for model in (mae, emma, cotex):
        path = tmp_path / f"{type(model).__name__}.safetensors"
        save_weights(path, model.eval())
        again = load_model(path)
        assert again.config == model.config
    assert torch.equal(again(images), cotex(images))


def test_the_rate_of_the_stem_decays_to_tokens_and_norms_of_every_kind():
    emma = EMMA(EMMAConfig(vit=tiny("registers"), hidden=8, va_source="vit_scores", va_lr=None))
    scales = {id(p): group["lr_scale"] for group in parameter_groups(emma, layer_decay=0.5) for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in parameter_groups(emma) for p in group["params"]}
    stem = (emma.vit.cls_token, emma.vit.reg_token, emma.vit.pos_embed, emma.vit.patch_embed.proj.weight)
    assert {scales[id(parameter)] for parameter in stem} == {0.5**3}
    assert decays[id(emma.vit.reg_token)] == 0


def test_a_plain_architecture_by_name_fits_a_plain_config_and_others_do_not():
    torch.manual_seed(0)
    ours = ViTEncoder(ViTConfig(**SMALL))
    named = lively("plain", image_size=64)
    ours.load_encoder(named)
    assert torch.equal(ours.pos_embed, resample_positions(named.pos_embed, 4))
    for kind in ("registers", "pre-norm", "no class token"):
        with pytest.raises(AffectError, match="pretrained encoder"):
            ViTEncoder(ViTConfig(**SMALL)).load_encoder(lively(kind))


@pytest.mark.parametrize("kind", ["registers", "no class token", "class token without position"])
def test_positions_are_resampled_beside_the_tokens_that_have_none(kind):
    source, target = lively(kind, image_size=64), lively(kind)
    target.load_encoder(source)
    prefix = 0 if source.no_embed_class else source.num_prefix_tokens
    assert torch.equal(target.pos_embed, resample_positions(source.pos_embed, 4, prefix))
    assert target.pos_embed.shape == (1, 16 + prefix, 24)


def test_a_profile_names_an_architecture(tmp_path):
    text = (project_root() / "affect_core" / "profiles" / "smoke.toml").read_text()
    sections = text.split("\n[")
    vit = next(section for section in sections if section.startswith("vit]"))
    named = 'vit]\ntimm_name = "vit_medium_patch16_reg4_gap_256"\nimage_size = 32\npatch_size = 8\ndepth = 1\n'
    (tmp_path / "mine.toml").write_text(text.replace(vit, named))
    profile = load_profile(str(tmp_path / "mine.toml"))
    assert profile.vit == profile.emma.vit == profile.mae.vit
    assert isinstance(profile.vit, TimmViTConfig) and (profile.vit.width, profile.vit.depth) == (512, 1)
    assert config_from_dict(ViTConfig, asdict(profile.vit), "here") == profile.vit


def test_a_stock_timm_takes_the_encoder_back(tmp_path, images):
    import json

    encoder = lively("registers")
    save_timm_encoder(tmp_path / "a.safetensors", encoder)
    arguments = json.loads((tmp_path / "a.json").read_text())
    stock = timm.create_model(**arguments, checkpoint_path=tmp_path / "a.safetensors").eval()
    torch.testing.assert_close(encoder.summary_first(stock(images)), encoder(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "registers", "no class token", "no class token, registers"])
def test_attention_maps_leave_out_what_is_no_patch(kind, images):
    encoder = lively(kind)
    before = {"plain": 1, "registers": 5, "no class token": 0, "no class token, registers": 4}[kind]
    attention = attention_matrices(encoder, images)
    assert attention.shape == (3, 2, 3, before + 16, before + 16)
    patches = attention[..., before:, before:].mean(-2)
    patches = (patches / patches.sum(-1, keepdim=True)).unflatten(-1, (4, 4))
    torch.testing.assert_close(readout_maps(attention, "patch_tokens", encoder), patches)
    read = readout_maps(attention, "class_token", encoder)
    if encoder.has_class_token:
        patches = attention[..., 0, before:] / attention[..., 0, before:].sum(-1, keepdim=True)
    torch.testing.assert_close(read.flatten(-2), patches.reshape(read.flatten(-2).shape))
    assert attention_distance(attention, prefix=before).shape == (2, 3)


@pytest.mark.parametrize("kind", ["registers", "no class token", "no class token, registers"])
def test_the_attention_browser_shows_encoders_of_other_kinds(kind, images):
    emma = EMMA(EMMAConfig(vit=tiny(kind), hidden=8, va_source="vit_scores", va_lr=None)).eval()
    for state in (AttentionState(layer=2, head=1), AttentionState(layer=2, rollout=True)):
        assert attention_figure(state, emma, images).axes


def test_onnx_gives_the_same_tokens(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    from affect_core.export import export_onnx

    for kind in ("registers", "no class token"):
        differences = export_onnx(lively(kind), tmp_path / "a.onnx")
        assert differences["tokens"] <= 1e-4


def test_published_mae_weights_are_taken_with_resampled_positions(monkeypatch):
    """Timm's download is replaced by the state of a small model of the same layout at 224 px."""
    torch.manual_seed(1)
    sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3}
    published = timm.create_model("vit_base_patch16_224", num_classes=0, **sizes).state_dict()
    asked = []
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf",
                        lambda *given, **options: asked.append(given[0]) or dict(published))  # fmt: skip
    encoder = pretrained_encoder("vit_base_patch16_224.mae", width=24, depth=2, heads=3, image_size=64, drop_path=0.0)
    assert asked == ["timm/vit_base_patch16_224.mae"]
    assert torch.equal(encoder.blocks[1].mlp.fc1.weight, published["blocks.1.mlp.fc1.weight"])
    torch.testing.assert_close(encoder.pos_embed, resample_positions(published["pos_embed"], 4))
    emma = EMMA(EMMAConfig(vit=ViTConfig(64, 16, 24, 2, 3), hidden=8, va_source="vit_scores"))
    emma.init_from_mae(encoder)
    assert torch.equal(emma.vit.norm.weight, published["norm.weight"])


def test_without_a_network_the_message_says_so(monkeypatch, record_property):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*given, **options):
        raise LocalEntryNotFoundError("Cannot find the requested files in the disk cache.\nlong advice")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(AffectError, match="vit_tiny_patch16_224 cannot be fetched .* disk cache. Connect to the net"):
        pretrained_encoder("vit_tiny_patch16_224", depth=1)
    with pytest.raises(AffectError, match="timm publishes no weights for vit_small_patch16_18x2_224"):
        pretrained_encoder("vit_small_patch16_18x2_224", depth=1)
    record_property("reliability", {"part": "backbones", "case": "published weights without a network",
                                    "treatment": "one sentence that names the model"})  # fmt: skip
