"""Attention among few tokens: the kernels, run by Triton's interpreter on the CPU, and when a model uses them.

On a GPU itself: `test_gpu.py`.
"""

import json
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from timm.layers import Attention

from affect_core import hardware
from affect_core.attention import (
    ShortAttention,
    attend,
    attends_briefly,
    attention_layers,
    has_kernels,
    is_plain_attention,
    short_attention,
)
from affect_core.errors import AffectError
from affect_core.hardware import fastest_attention, narrowed
from affect_core.mae import MAE, MAEConfig
from affect_core.training_loop import TrainingLoop
from affect_core.vit import ViTConfig, ViTEncoder

INTERPRETED = """
import json, sys
import torch
from torch.nn import functional as F
import affect_core.attention_kernels
from affect_core.attention import attend

def distance(one, other):
    return ((one.float() - other).norm() / other.norm()).item()

found = []
for images, tokens, heads, dim in json.loads(sys.argv[1]):
    generator = torch.Generator().manual_seed(tokens)
    packed = torch.randn(images, tokens, 3 * heads * dim, generator=generator).half()
    gradient = torch.randn(images, tokens, heads * dim, generator=generator).half()
    ours, exact = packed.clone().requires_grad_(), packed.float().requires_grad_()
    q, k, v = exact.reshape(images, tokens, 3, heads, dim).permute(2, 0, 3, 1, 4).unbind(0)
    truth = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(images, tokens, heads * dim)
    answer = attend(ours, heads)
    answer.backward(gradient)
    truth.backward(gradient.float())
    found.append([distance(answer, truth), distance(ours.grad, exact.grad)])
print(json.dumps(found))
"""


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ViTEncoder(ViTConfig(image_size=16, patch_size=4, width=32, depth=2, heads=2, drop_path=0.0))


def test_the_kernels_compute_attention_and_its_gradient():
    pytest.importorskip("triton")
    shapes = [(2, 50, 3, 64), (1, 197, 2, 32), (3, 17, 4, 32), (1, 65, 2, 16), (2, 5, 1, 16), (1, 128, 1, 64),
              (1, 256, 1, 16), (1, 1, 1, 16), (1, 145, 1, 32)]  # fmt: skip
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(hardware.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", INTERPRETED, json.dumps(shapes)], env=environment,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for shape, (forwards, backwards) in zip(shapes, json.loads(done.stdout), strict=True):
        assert 0 <= forwards < 1e-3 and 0 <= backwards < 1e-3, shape  # half precision rounds at 5e-4


def test_every_number_of_tokens_has_a_launch_that_holds_all_keys():
    kernels = pytest.importorskip("affect_core.attention_kernels")
    for launches in (kernels.FORWARD, kernels.BACKWARD):
        for tokens in range(1, 257):
            sizes = kernels.sizes(tokens, 2, 192, launches)
            keys = sizes["KEYS"]
            assert keys >= max(16, tokens) and keys & (keys - 1) == 0 and (keys == 16 or keys < 2 * tokens)
            assert sizes["DIM"] == 32 and 16 <= sizes["ROWS"] <= keys
    assert kernels.sizes(197, 2, 192, kernels.FORWARD)["KEYS"] == 256


def test_what_the_kernels_cannot_take_is_refused_in_a_sentence():
    assert attends_briefly(256, 64) and attends_briefly(1, 16)
    assert not any(attends_briefly(*sizes) for sizes in ((257, 64), (50, 24), (0, 16)))
    shapes = {(1, 300, 96): "not 300 and 16", (1, 20, 144): "not 20 and 24", (1, 0, 96): "not 0 and 16"}
    for shape, said in shapes.items():
        with pytest.raises(AffectError, match=f"1 to 256 tokens and heads of .16, 32, 64. channels, {said}"):
            attend(torch.zeros(shape), 2)


def test_within_the_context_plain_layers_are_short_ones_and_afterwards_as_before(encoder):
    layers = attention_layers(encoder)
    layers[1].q_norm = torch.nn.LayerNorm(16)
    with pytest.raises(RuntimeError), short_attention(layers):
        assert [type(layer) for layer in layers] == [ShortAttention, Attention]
        raise RuntimeError
    assert [type(layer) for layer in layers] == [Attention, Attention]


def test_copies_of_a_short_layer_are_timms_and_an_encoder_with_some_can_be_loaded(encoder):
    other = ViTEncoder(encoder.config)
    with short_attention(attention_layers(encoder)):
        copy, stored = deepcopy(encoder), pickle.loads(pickle.dumps(encoder))
        other.load_encoder(encoder)
    for one in (copy, stored, other):
        assert {type(layer) for layer in attention_layers(one)} == {Attention}
        torch.testing.assert_close(one.state_dict(), encoder.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("change", [
    lambda layer: setattr(layer, "qkv", torch.nn.Sequential(layer.qkv)),
    lambda layer: setattr(layer, "k_norm", torch.nn.LayerNorm(16)),
    lambda layer: setattr(layer, "norm", torch.nn.LayerNorm(32)),
    lambda layer: setattr(layer, "gate", torch.nn.Linear(32, 32)),
    lambda layer: setattr(layer, "attn_drop", torch.nn.Dropout(0.1)),
    lambda layer: setattr(layer, "__class__", type("Other", (Attention,), {})),
])  # fmt: skip
def test_a_layer_with_anything_of_its_own_is_not_plain(encoder, change):
    layer = attention_layers(encoder)[0]
    assert is_plain_attention(layer)
    change(layer)
    assert not is_plain_attention(layer)


def test_a_short_layer_on_the_cpu_is_timms_and_its_block_stays_plain(encoder):
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    encoder.train()
    before = encoder(images), encoder.features(images)
    with short_attention(attention_layers(encoder)):
        after = encoder(images), encoder.features(images)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("bf16, hopper, kernels, kind", [
    (True, True, True, ShortAttention), (False, True, True, Attention), (True, False, True, Attention),
    (True, True, False, Attention),
])  # fmt: skip
def test_they_are_for_bf16_on_a_hopper_gpu_that_has_triton(encoder, monkeypatch, bf16, hopper, kernels, kind):
    monkeypatch.setattr(hardware, "_is_hopper", lambda device: hopper)
    monkeypatch.setattr(hardware, "has_kernels", lambda: kernels)
    with fastest_attention(encoder, torch.device("cuda"), bf16):
        assert {type(layer) for layer in attention_layers(encoder)} == {kind}


def test_without_triton_there_are_no_kernels(monkeypatch):
    monkeypatch.delitem(sys.modules, "affect_core.attention_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not has_kernels()


def test_tokens_keep_their_type_on_the_cpu(encoder):
    tokens = torch.randn(2, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert narrowed(tokens) is tokens
        model, types = MAE(MAEConfig(vit=encoder.config, decoder_width=32, decoder_depth=2, decoder_heads=2)), []
        model.decoder_blocks[0].register_forward_pre_hook(lambda module, given: types.append(given[0].dtype))
        model.training_loss(torch.randn(2, 3, 16, 16))
    assert types == [torch.float32]


@pytest.mark.parametrize("device, processes, images, mode", [
    ("cuda", 1, 64, "reduce-overhead"), ("cuda", 1, 128, "default"), ("cuda", 2, 64, "default"),
    ("cpu", 1, 64, "default"),
])  # fmt: skip
def test_graphs_are_for_steps_of_one_batch_on_one_gpu(device, processes, images, mode):
    loop = TrainingLoop.__new__(TrainingLoop)
    loop.device, loop.world, loop.images_per_step = torch.device(device), processes, images
    assert loop._compile_mode(64) == mode
