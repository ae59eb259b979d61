"""On a CUDA device: the numbers of the CPU, training that goes on, models and explorers that answer there.

Skipped where there is none.
"""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.layers import Attention
from torch.nn import functional as F

from affect_core import CoTEX, CoTEXConfig, DANConfig, EMMAConfig, MAEConfig, ViTConfig, explorers
from affect_core.attention import ShortAttention, attend, attention_layers, has_kernels
from affect_core.augment import Augmentation, _draw_views, _Draws, _render_on_cpu, _render_with_torch, prepare
from affect_core.dan import DAN
from affect_core.distributed import Share
from affect_core.emma import EMMA
from affect_core.explain import attention_matrices, attention_rollout, occlusion_sensitivity, readout_maps
from affect_core.hardware import fastest_attention
from affect_core.mae import MAE
from affect_core.prediction import load_predictor
from affect_core.stages import pretrain_mae, train_cotex, train_emma, train_prior
from affect_core.training import TrainConfig, fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3, drop_path=0.0)
MAE_CONFIG = MAEConfig(vit=VIT, decoder_width=16, decoder_depth=2, decoder_heads=2)
TRAINING = TrainConfig(epochs=2, batch_size=16, accumulation=1, warmup_epochs=1, layer_decay=None, clip_norm=1.0)


def on_both(model):
    """The model on the CPU and a copy of it on the GPU."""
    return model, deepcopy(model).cuda()


def emma() -> EMMA:
    torch.manual_seed(0)
    return EMMA(EMMAConfig(vit=VIT, hidden=16, va_hidden=8), DAN(DANConfig(width=4, num_heads=2, small_images=True)))


@pytest.fixture
def images():
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_mae_has_the_loss_and_the_gradients_of_the_cpu(images):
    torch.manual_seed(0)
    here, there = on_both(MAE(MAE_CONFIG))
    noise = torch.rand(8, VIT.num_patches)
    losses = here.training_loss(images, noise=noise), there.training_loss(images.cuda(), noise=noise.cuda())
    torch.testing.assert_close(losses[1].cpu(), losses[0], rtol=1e-4, atol=1e-5)
    for loss in losses:
        loss.backward()
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad.cpu(), one.grad, rtol=1e-2, atol=1e-5, msg=name)


def test_emma_and_cotex_answer_as_on_the_cpu(images):
    torch.manual_seed(2)
    for model in (emma(), CoTEX(CoTEXConfig(vit=VIT))):
        here, there = (one.eval() for one in on_both(model))
        predict = (lambda one: one) if isinstance(model, EMMA) else (lambda one: one.predict)
        with torch.no_grad():
            answers = predict(here)(images), predict(there)(images.cuda())
        for name in ("expression_logits", "action_unit_logits", "valence_arousal"):
            if getattr(answers[0], name) is not None:
                torch.testing.assert_close(getattr(answers[1], name).cpu(), getattr(answers[0], name),
                                           rtol=1e-2, atol=2e-3)  # fmt: skip


@pytest.mark.parametrize("config", [
    Augmentation(enlarge=1.1), Augmentation(crop_area=(0.5, 1.0), grayscale_probability=0.5),
    Augmentation(jitter_probability=1.0),
])  # fmt: skip
def test_views_of_faces_look_as_on_the_cpu(config):
    coarse = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(40, 40), mode="bicubic").clamp(0, 1)
    faces = (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    views = _draw_views(config, _Draws(torch.Generator().manual_seed(0), torch.device("cpu"), Share(6)))
    there = type(views)(*(getattr(views, name).cuda() for name in views.__dataclass_fields__))
    rendered = _render_with_torch(faces.cuda(), there, 32).cpu()
    torch.testing.assert_close(rendered, _render_on_cpu(faces, views, 32), rtol=0, atol=5e-3)


def test_prepared_faces_are_those_of_the_cpu():
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    torch.testing.assert_close(prepare(faces.cuda(), 32).cpu(), prepare(faces, 32), rtol=0, atol=1e-5)


def reference_attention(qkv, heads):
    n, tokens, packed = qkv.shape
    query, key, value = qkv.reshape(n, tokens, 3, heads, packed // (3 * heads)).permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, tokens, packed // 3)


def distance(one, other):
    return ((one.float() - other).norm() / other.norm()).item()


@pytest.mark.parametrize("tokens, heads, head_dim", [
    (197, 16, 32), (50, 12, 64), (65, 3, 32), (17, 4, 32), (5, 1, 16), (256, 2, 64), (128, 1, 16), (64, 2, 32),
])  # fmt: skip
def test_attention_among_few_tokens_is_attention(tokens, heads, head_dim):
    assert has_kernels()
    generator = torch.Generator("cuda").manual_seed(tokens)
    packed = torch.randn(3, tokens, 3 * heads * head_dim, device="cuda", generator=generator).bfloat16()
    gradient = torch.randn(3, tokens, heads * head_dim, device="cuda", generator=generator).bfloat16()
    ours, exact = packed.clone().requires_grad_(), packed.float().requires_grad_()
    answer, truth = attend(ours, heads), reference_attention(exact, heads)
    answer.backward(gradient)
    truth.backward(gradient.float())
    assert distance(answer, truth) < 4e-3 and distance(ours.grad, exact.grad) < 4e-3  # bf16: 2 ** -9 is a rounding


def test_compiled_attention_among_few_tokens_is_the_same_and_reads_strided_queries():
    packed = torch.randn(4, 50, 2, 3 * 2 * 32, device="cuda").bfloat16()[:, :, 1].requires_grad_()
    eager = attend(packed, 2)
    (gradient,) = torch.autograd.grad(eager.square().sum(), packed)
    torch.compiler.reset()
    compiled = torch.compile(lambda one: attend(one, 2))(packed)
    (again,) = torch.autograd.grad(compiled.square().sum(), packed)
    torch.testing.assert_close(compiled, eager, rtol=0, atol=0)
    torch.testing.assert_close(again, gradient, rtol=1e-2, atol=1e-2)


def test_training_in_bf16_uses_them_and_computes_the_same(images):
    torch.manual_seed(3)
    vit = ViTConfig(image_size=32, patch_size=8, width=64, depth=2, heads=2, drop_path=0.0)
    model = MAE(MAEConfig(vit=vit, decoder_width=32, decoder_depth=2, decoder_heads=2)).cuda()
    noise, there = torch.rand(8, vit.num_patches).cuda(), images.cuda()

    def gradients(bf16):
        model.zero_grad()
        types.clear()
        with fastest_attention(model, torch.device("cuda"), bf16), torch.autocast("cuda", torch.bfloat16, bf16):
            kinds = {type(layer) for layer in attention_layers(model)}
            loss = model.training_loss(there, noise=noise)
        loss.backward()
        return kinds, loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    types = []
    model.decoder_blocks[1].register_forward_pre_hook(lambda module, given: types.append(given[0].dtype))
    kinds, loss, gradient = gradients(True)
    assert types == [torch.bfloat16]
    exact_kinds, exact_loss, exact_gradient = gradients(False)
    assert kinds == {ShortAttention} and exact_kinds == {Attention}
    torch.testing.assert_close(loss, exact_loss, rtol=1e-2, atol=0)
    assert distance(gradient, exact_gradient) < 0.03


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_compiled_training_computes_the_same_with_graphs_and_with_gathered_gradients(tmp_path, accumulation):
    config = replace(TRAINING, epochs=3, precision="fp32", base_learning_rate=0.1, accumulation=accumulation)

    def train(compiled):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Linear(16, 1))
        fit(model, Numbers(), lambda model, batch, _: {"total": (model(batch[0])[:, 0] - batch[1]).square().mean()},
            replace(config, compile=compiled), tmp_path / str(compiled), device="cuda")  # fmt: skip
        return model.state_dict()

    eager, compiled = train(False), train(True)
    for name, tensor in eager.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-3, atol=1e-4)


class Interrupted(BaseException):
    """As a kill would come, at any place."""


class Numbers:
    """Linear regression data on the GPU."""

    fingerprint = "numbers"

    def __init__(self):
        self.x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)).cuda()

    def __len__(self):
        return 64

    def batch(self, rows, generator):
        x = self.x[torch.from_numpy(rows).cuda()]
        return x + 0.01 * torch.randn(x.shape, generator=generator, device="cuda"), x.sum(dim=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, precision):
    config = replace(TRAINING, epochs=6, precision=precision, checkpoint_seconds=0.0, base_learning_rate=0.1)

    def train(directory, stop=0):
        torch.manual_seed(0)
        model, calls = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1)), []

        def loss(model, batch, generator):
            calls.append(0)
            if len(calls) == stop:
                raise Interrupted
            return {"total": (model(batch[0])[:, 0].float() - batch[1]).square().mean()}

        fit(model, Numbers(), loss, config, directory, device="cuda")
        return model

    whole = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", stop=11)
    resumed = train(tmp_path / "cut")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_every_stage_trains_there(smoke_book, tmp_path):
    p, options = smoke_book.profile, {"device": "cuda"}
    augmentation = Augmentation(crop_area=(0.5, 1.0), jitter_probability=0.8, grayscale_probability=0.5)
    training = replace(TRAINING, base_learning_rate=1e-2)
    size = p.vit.image_size
    mae, record = pretrain_mae(p.mae, replace(training, compile=True), augmentation, smoke_book.corpus("faces"),
                               tmp_path / "mae", **options)  # fmt: skip
    assert record.log[-1]["train_total"] < record.log[0]["train_total"]
    prior, _ = train_prior(p.prior, training, augmentation, smoke_book.corpus("affectnet"), size, tmp_path / "prior",
                           **options)  # fmt: skip
    _, record = train_emma(p.emma, training, augmentation, smoke_book.corpus("abaw4"), tmp_path / "emma", prior=prior,
                           mae=mae, **options)  # fmt: skip
    assert np.isfinite(record.best["validation_p_mtl"])
    _, record = train_cotex(p.cotex, training, augmentation, smoke_book.corpus("lsd"), tmp_path / "cotex", mae=mae,
                            **options)  # fmt: skip
    assert 0 <= record.best["validation_expression_f1"] <= 1


def test_the_shipped_models_answer_as_on_the_cpu():
    faces = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    here, there = load_predictor("cpu")(faces), load_predictor("cuda")(faces)
    for name in ("expression_logits", "action_unit_logits", "valence_arousal", "uncertainty"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), rtol=1e-2, atol=1e-2)


def test_attention_and_occlusion_there(images):
    model, there = emma().eval().cuda(), images.cuda()
    attention = attention_matrices(model.vit, there)
    assert attention_rollout(attention).is_cuda and readout_maps(attention, VIT.readout).is_cuda
    drops = occlusion_sensitivity(lambda batch: model(batch).expression_logits[:, 0], there, window=8, stride=8)
    assert torch.isfinite(drops).all()


def test_explorers_show_models_that_live_there(images):
    torch.manual_seed(0)
    model, mae, cotex = emma().eval().cuda(), MAE(MAE_CONFIG).eval().cuda(), CoTEX(CoTEXConfig(vit=VIT)).eval().cuda()
    there = images.cuda()
    for explorer in (explorers.action_unit_mixer(model, size=48), explorers.masking_lab(mae, there),
                     explorers.two_views(cotex, there), explorers.attention_browser(model, there)):  # fmt: skip
        assert not explorer.message.value and explorer.picture.value
