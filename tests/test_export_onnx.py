"""A stock onnxruntime reproduces our predictions, for any number of images, or there is no file."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_models import PATCHES, VIT, cotex, emma, lively, mae, random_images, rendered_images
from onnx import TensorProto, helper

from affect_core.attention import attention_layers
from affect_core.augment import IMAGENET_MEAN
from affect_core.backbones import TimmViTConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.export import (
    export_onnx,
    onnx_differences,
    onnx_graphs,
    onnx_predictor,
    open_onnx,
    write_int8_onnx,
)
from affect_core.export.onnx_form import FixedResize
from affect_core.export.onnx_graphs import read_description
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, LSD_EXPRESSIONS
from affect_core.priors import CustomPrior, CustomPriorConfig, TimmPrior, TimmPriorConfig
from affect_core.vit import ViTConfig, ViTEncoder


def on_prior(prior, vit=PATCHES):
    """An EMMA that reads another network than the DAN, with scores that differ between images."""
    for parameter in prior.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
    return lively(EMMA(EMMAConfig(vit=vit, hidden=16, va_hidden=8), prior))


def timm_prior(image_size=0):
    torch.manual_seed(3)
    return TimmPrior(TimmPriorConfig(image_size=image_size, mean=(0.5,) * 3, timm_name="test_resnet"))


def custom_prior(image_size, network=None):
    torch.manual_seed(4)
    layers = torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(8)
    prior = CustomPrior(network or torch.nn.Sequential(*layers), CustomPriorConfig(image_size=image_size))
    with torch.no_grad():
        prior(torch.zeros(1, 3, 32, 32))
    return prior


def timm_encoder(name):
    torch.manual_seed(5)
    sizes = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "heads": 3, "drop_path": 0.0}
    model = on_prior(timm_prior(), TimmViTConfig(timm_name=name, **sizes))
    for key, parameter in model.vit.named_parameters():
        if key.endswith("gamma"):  # layer scale, almost 0 in a new model
            torch.nn.init.normal_(parameter)
    return model


MODELS = {
    "emma": emma,
    "emma without prior": lambda: emma(va_source="vit_features", vit=VIT),
    "emma, timm's CNN": lambda: on_prior(timm_prior()),
    "emma, timm's CNN on 48 px": lambda: on_prior(timm_prior(48)),
    "emma, one's own CNN on 20 px": lambda: on_prior(custom_prior(20)),
    "emma, one's own CNN on 32 px as they are": lambda: on_prior(custom_prior(32)),
    "emma, registers": lambda: timm_encoder("vit_small_patch14_reg4_dinov2"),
    "emma, no class token": lambda: timm_encoder("vit_base_patch16_siglip_224"),
    "emma, pre-norm": lambda: timm_encoder("vit_base_patch32_clip_224"),
    "emma, class token without position": lambda: timm_encoder("deit3_small_patch16_224"),
    "emma, parallel blocks": lambda: timm_encoder("vit_small_patch16_18x2_224"),
    "cotex": cotex,
    "cotex, three views, patch tokens": lambda: cotex(3, PATCHES),
    "mae": mae,
    "encoder": lambda: lively(ViTEncoder(VIT)),
}


@pytest.fixture(scope="module")
def faces():
    return rendered_images(4)


@pytest.fixture(scope="module")
def emma_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "emma.onnx"
    export_onnx(emma(), path)
    return path


def in_pytorch(model, images):
    with torch.no_grad():
        if isinstance(model, ViTEncoder):
            return {"tokens": model(images)}
        if hasattr(model, "encoder"):
            return {"tokens": model.encoder(images)}
        prediction = model.predict(images) if hasattr(model, "predict") else model(images)
    names = ("expression_logits", "action_unit_logits", "valence_arousal")
    return {name: getattr(prediction, name) for name in names if getattr(prediction, name) is not None}


@pytest.mark.parametrize("name", MODELS)
def test_a_stock_session_gives_the_outputs_of_pytorch_on_random_and_rendered_images(name, tmp_path, faces):
    model = MODELS[name]()
    reported = export_onnx(model, tmp_path / "model.onnx", images=faces)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [(port.name, port.type, port.shape[1:]) for port in session.get_inputs()] == [
        ("images", "tensor(float)", [3, 32, 32])
    ]
    for images in (random_images(1), random_images(5), faces):
        expected = in_pytorch(model, images)
        found = dict(zip(expected, session.run(list(expected), {"images": images.numpy()}), strict=True))
        assert set(reported) == set(expected)
        for output, tensor in expected.items():
            assert len(images) == 1 or tensor.std(dim=0).max() > 0.01, "the test needs outputs that depend on the image"
            np.testing.assert_allclose(found[output], tensor.numpy(), rtol=0, atol=1e-4)
            assert reported[output] <= 1e-4


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 48), (48, 20), (7, 100), (32, 32)])
def test_two_products_with_a_resized_identity_are_the_antialiased_resize(inputs, outputs):
    images = torch.randn(2, 3, inputs, inputs, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.interpolate(images, (outputs, outputs), mode="bilinear", antialias=True)
    resize = FixedResize(inputs, outputs)
    torch.testing.assert_close(resize(images), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(resize.weights.sum(dim=1), torch.ones(outputs))  # weighted means of pixels


def test_a_resize_within_the_graph_is_not_rounded_to_eight_bits(tmp_path):
    export_onnx(on_prior(timm_prior(48)), tmp_path / "a.onnx")
    write_int8_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    weights = [array for array in onnx.load(tmp_path / "b.onnx").graph.initializer if list(array.dims) == [48, 32]]
    assert [array.data_type for array in weights] == [TensorProto.FLOAT]
    np.testing.assert_allclose(onnx.numpy_helper.to_array(weights[0]), FixedResize(32, 48).weights, atol=1e-7)


def test_a_step_that_onnx_does_not_have_is_named_and_leaves_no_file_and_nothing_printed(tmp_path, capfd):
    class Odd(torch.nn.Module):
        def forward(self, images):
            small = torch.nn.functional.interpolate(images, (2, 2), mode="bicubic", antialias=True)
            return small.flatten(1)[:, :8]

    with pytest.raises(AffectError, match="a step of this EMMA cannot be written as ONNX.*_upsample_bicubic2d_aa"):
        export_onnx(on_prior(custom_prior(0, Odd())), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")


def test_a_model_that_cannot_be_copied_is_refused_in_a_sentence_too(tmp_path):
    model = on_prior(custom_prior(0))
    model.prior.model.network.seen = (torch.ones(1, requires_grad=True) * 2,)  # deepcopy takes no such tensor
    with pytest.raises(AffectError, match="a step of this EMMA cannot be written as ONNX: Only Tensors created"):
        export_onnx(model, tmp_path / "a.onnx")


def test_what_is_exported_is_the_model_in_eval_mode_and_it_is_left_as_it_was(tmp_path):
    model = cotex().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_onnx(model, tmp_path / "model.onnx")
    assert model.training and all(layer.fused_attn for layer in attention_layers(model))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    ids_keep = torch.tensor([[0, 1], [2, 3]])
    assert model.views[0](random_images(2), ids_keep).shape == (2, 3, 32), "it still hides patches"
    found = open_onnx(tmp_path / "model.onnx")(random_images(2))["expression_logits"]
    np.testing.assert_allclose(found, in_pytorch(model.eval(), random_images(2))["expression_logits"], atol=1e-4)


def test_the_file_passes_onnxs_checker_and_documents_itself(emma_file):
    onnx.checker.check_model(onnx.load(emma_file), full_check=True)
    text = onnxruntime.InferenceSession(emma_file).get_modelmeta().custom_metadata_map["affect_core"]
    said = json.loads(text)
    assert said == read_description(emma_file)
    assert said["model"] == "EMMA"
    assert (tuple(said["vocabulary"]), tuple(said["action_units"])) == (EXPRESSIONS, ACTION_UNITS)
    assert said["input"]["images"] == ["N", 3, 32, 32] and tuple(said["input"]["mean"]) == IMAGENET_MEAN
    assert said["outputs"] == ["expression_logits", "action_unit_logits", "valence_arousal"]


def test_the_predictor_speaks_of_expressions_by_name(tmp_path, emma_file):
    prediction = onnx_predictor(emma_file)(random_images(3))
    assert prediction.vocabulary == EXPRESSIONS and prediction.valence_arousal.shape == (3, 2)
    export_onnx(cotex(), tmp_path / "cotex.onnx")
    prediction = onnx_predictor(tmp_path / "cotex.onnx")(random_images(3).numpy())
    assert prediction.vocabulary == LSD_EXPRESSIONS and prediction.valence_arousal is None


def test_an_encoder_predicts_nothing(tmp_path):
    export_onnx(mae(), tmp_path / "mae.onnx")
    with pytest.raises(AffectError, match="holds a MAE, which predicts nothing"):
        onnx_predictor(tmp_path / "mae.onnx")


def test_another_models_file_differs(emma_file):
    other = emma()
    with torch.no_grad():
        other.va_head[2].bias += 0.5
    differences = onnx_differences(emma_file, other, random_images(2))
    assert differences["valence_arousal"] == pytest.approx(0.5, abs=1e-3)
    assert differences["expression_logits"] <= 1e-4


def test_a_graph_that_differs_from_pytorch_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graphs, "onnx_differences", lambda *_: {"tokens": float("nan")})
    with pytest.raises(AffectError, match="differs from PyTorch in tokens"):
        export_onnx(mae(), tmp_path / "mae.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused_in_words(tmp_path, monkeypatch):
    with pytest.raises(AffectError, match="a DAN cannot be exported"):
        export_onnx(DAN(DANConfig(width=8)), tmp_path / "dan.onnx")
    monkeypatch.setattr(onnx_graphs, "_LARGEST", 1000)
    with pytest.raises(AffectError, match="2 GiB"):
        export_onnx(mae(), tmp_path / "mae.onnx")


def test_images_of_another_size_are_refused_in_words(emma_file):
    with pytest.raises(AffectError, match=r"takes images of 3 x 32 x 32, not \(3, 48, 48\)"):
        open_onnx(emma_file)(torch.zeros(1, 3, 48, 48))


def test_files_that_are_no_graph_of_ours_are_refused_in_words(tmp_path):
    with pytest.raises(AffectError, match="not found"):
        open_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(AffectError, match="not an ONNX file"):
        open_onnx(tmp_path / "text.onnx")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("images", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "a.onnx")
    with pytest.raises(AffectError, match="not written by this project"):
        onnx_predictor(tmp_path / "a.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AffectError, match=rf"{package} is not installed.*affect-core\[export\]"):
        export_onnx(mae(), tmp_path / "mae.onnx")


def test_eight_bit_weights_are_of_matrix_products_alone_and_change_the_answers_a_little(tmp_path, emma_file, faces):
    sizes = write_int8_onnx(emma_file, tmp_path / "int8.onnx")
    assert sizes == (emma_file.stat().st_size, (tmp_path / "int8.onnx").stat().st_size)
    operators = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "MatMulInteger" in operators and "ConvInteger" not in operators and "Gemm" not in operators
    before, after = (open_onnx(path)(faces) for path in (emma_file, tmp_path / "int8.onnx"))
    for name in ("expression_logits", "action_unit_logits", "valence_arousal"):
        assert 0 < np.abs(after[name] - before[name]).max() < 0.2 * np.abs(before[name]).max()
    assert read_description(tmp_path / "int8.onnx") == read_description(emma_file)


def test_a_wider_encoder_takes_a_third_of_the_bytes_in_eight_bits(tmp_path):
    model = lively(ViTEncoder(ViTConfig(image_size=32, patch_size=8, width=128, depth=2, heads=2)))
    export_onnx(model, tmp_path / "a.onnx", tolerance=1e-3)
    before, after = write_int8_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert after < before / 3


def test_what_cannot_be_rounded_is_an_error_in_a_sentence_and_leaves_no_file(tmp_path, emma_file, monkeypatch):
    def fails(*given, **options):
        raise RuntimeError("no such operator\nlong advice")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", fails)
    with pytest.raises(AffectError, match="emma.onnx cannot be written with 8-bit weights: no such operator$"):
        write_int8_onnx(emma_file, tmp_path / "int8.onnx")
    assert list(tmp_path.iterdir()) == []
