"""A model is built for weights only after all of them have found their place, and without memory until then."""

import pytest
import torch
from torch import nn

from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError
from affect_core.mae import MAE, MAEConfig
from affect_core.model_building import build_for, check_fit
from affect_core.vit import ViTConfig
from affect_core.weight_files import check_plain

MODELS = {
    "dan": lambda: DAN(DANConfig(width=4, num_heads=2)),
    "mae": lambda: MAE(MAEConfig(ViTConfig(32, 16, 8, 2, 2, drop_path=0.2), 8, 1, 2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gets_the_weights_and_real_memory(name):
    weights = MODELS[name]().state_dict()
    model = build_for(MODELS[name], weights, "x.pth")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert {tensor.device.type for tensor in [*model.parameters(), *model.buffers()]} == {"cpu"}


def test_a_model_that_does_not_fit_is_never_built_with_memory():
    built = []

    def build():
        built.append(nn.Linear(10**7, 10**7, bias=False))  # 400 TB
        return built[-1]

    with pytest.raises(AffectError, match=r"x.pth does not fit Linear: 1 of another shape: weight \(1, 1\)"):
        build_for(build, {"weight": torch.zeros(1, 1)}, "x.pth")
    assert [model.weight.device.type for model in built] == ["meta"]


def test_building_stops_when_there_are_many_more_tensors_than_weights():
    made = []

    def build():
        for _ in range(10**6):
            made.append(nn.Linear(1, 1))
        return nn.Sequential(*made)

    with pytest.raises(AffectError, match="x.pth: its settings ask for many more tensors than it holds"):
        build_for(build, {"weight": torch.zeros(1, 1)}, "x.pth")
    assert len(made) < 1000


@pytest.mark.parametrize("tensor", [
    torch.zeros(1).expand(3), torch.empty(3, device="meta"), torch.zeros(3).to_sparse(),
])  # fmt: skip
def test_tensors_without_all_their_numbers_are_refused(tensor):
    with pytest.raises(AffectError, match=r"x.pth: a of shape \(3,\) is no plain tensor"):
        check_plain({"a": tensor}, "x.pth")


def test_parts_of_a_larger_tensor_are_plain():
    check_plain({"a": torch.zeros(4, 4)[1:, :2], "b": torch.zeros(2, 3).T, "c": torch.zeros(0)}, "x.pth")


@pytest.mark.parametrize(("weight", "fault"), [
    (torch.tensor([[float("nan")]]), "1 with NaN or infinity: weight"),
    (torch.tensor([[1]]), "1 of another type: weight torch.int64 instead of torch.float32"),
    (torch.tensor([[1j]]), "1 of another type: weight torch.complex64"),
])  # fmt: skip
def test_numbers_that_are_no_weights_are_refused(weight, fault):
    with pytest.raises(AffectError, match=f"x.pth does not fit Linear: {fault}"):
        check_fit(nn.Linear(1, 1, bias=False), {"weight": weight}, "x.pth")
