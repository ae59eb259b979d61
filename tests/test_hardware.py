"""The fast form of attention computes what the other one does, and a model is left as it was."""

import pytest
import torch

from affect_core.attention import attention_layers, fused_attention
from affect_core.hardware import fastest_attention, has_bf16
from affect_core.vit import ViTConfig, ViTEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ViTEncoder(ViTConfig(image_size=16, patch_size=4, width=16, depth=2, heads=2)).eval()


def test_both_forms_of_attention_agree_forwards_and_backwards(encoder):
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    results = []
    for fused in (True, False):
        encoder.zero_grad()
        with fused_attention(attention_layers(encoder), fused):
            tokens = encoder(images)
            tokens.square().sum().backward()
        results.append([tokens.detach(), encoder.blocks[0].attn.qkv.weight.grad.clone()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("device, bf16, fused", [("cpu", True, False), ("cpu", False, True), ("cuda", True, True)])
def test_only_bf16_on_the_cpu_writes_attention_out(encoder, device, bf16, fused):
    before = [layer.fused_attn for layer in attention_layers(encoder)]
    with fastest_attention(encoder, torch.device(device), bf16):
        assert [layer.fused_attn for layer in attention_layers(encoder)] == [fused, fused]
    assert [layer.fused_attn for layer in attention_layers(encoder)] == before


def test_the_form_is_restored_after_an_error(encoder):
    before = [layer.fused_attn for layer in attention_layers(encoder)]
    with pytest.raises(RuntimeError), fused_attention(attention_layers(encoder), False):
        raise RuntimeError
    assert [layer.fused_attn for layer in attention_layers(encoder)] == before


def test_bf16_is_asked_of_the_device_only():
    assert isinstance(has_bf16("cpu"), bool)
    assert not has_bf16("meta")
