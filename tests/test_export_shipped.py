"""The weights that ship, as files for others: stock onnxruntime and stock timm give the outputs of the shipped models.

On random images, rendered faces, and the two photographs that come with scikit-learn (no faces: numbers are compared).
"""

import json
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_sample_images

from affect_core.augment import prepare
from affect_core.export import export_onnx, load_folder, onnx_predictor, save_timm_encoder
from affect_core.export.model_file import export_model_file
from affect_core.labels import EXPRESSIONS, LSD_EXPRESSIONS
from affect_core.shipped import FILES, shipped_model, weights_dir
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene

NAMES = ("emma", "cotex", "mae")
SIZE = 64


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Models, their ONNX files, and images by kind, normalised, (N, 3, 64, 64)."""
    folder = tmp_path_factory.mktemp("shipped")
    models = {name: shipped_model(name) for name in NAMES}
    images = {"random": torch.randn(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)),
              "rendered": prepare(torch.from_numpy(np.stack(rendered_faces(6))), SIZE),
              "photographs": prepare(torch.from_numpy(np.stack(crops_of_photographs())), SIZE)}  # fmt: skip
    differences = {name: export_onnx(model, folder / f"{name}.onnx", images=images["photographs"])
                   for name, model in models.items()}  # fmt: skip
    return SimpleNamespace(folder=folder, models=models, images=images, differences=differences)


@torch.no_grad()
def in_pytorch(name, model, images):
    """The outputs that the model's graph is to have, by name."""
    if name == "mae":
        return {"tokens": model.encoder(images)}
    if name == "cotex":
        return {"expression_logits": model.predict(images).expression_logits}
    prediction = model(images)
    return {task: getattr(prediction, task) for task in ("expression_logits", "action_unit_logits", "valence_arousal")}


def rendered_faces(n):
    rng = np.random.default_rng(1)
    return [render(sample_person(rng, "lsd_synthetic"), {4: 0.2 * i, 12: 0.1 * i}, sample_scene(rng, "video"), size=80)
            for i in range(n)]  # fmt: skip


def crops_of_photographs():
    """Squares of three sizes from china.jpg and flower.jpg (427 x 640), reduced to 80 px."""
    crops = []
    for photograph in load_sample_images().images:
        for side, top, left in ((427, 0, 100), (240, 100, 300), (120, 200, 20)):
            square = Image.fromarray(photograph[top : top + side, left : left + side])
            crops.append(np.asarray(square.resize((80, 80), Image.Resampling.BILINEAR)))
    return crops


@pytest.mark.parametrize("name", NAMES)
def test_a_stock_session_gives_the_outputs_of_the_shipped_model_on_random_rendered_and_photographed_images(
    name, shipped
):
    assert max(shipped.differences[name].values()) <= 1e-4
    session = onnxruntime.InferenceSession(shipped.folder / f"{name}.onnx")
    for kind, images in shipped.images.items():
        for part in (images, images[:1]):
            expected = in_pytorch(name, shipped.models[name], part)
            found = dict(zip(expected, session.run(list(expected), {"images": part.numpy()}), strict=True))
            for output, tensor in expected.items():
                np.testing.assert_allclose(found[output], tensor.numpy(), rtol=0, atol=1e-4, err_msg=f"{kind} {output}")
        assert all(tensor.std(dim=0).max() > 0.02 for tensor in in_pytorch(name, shipped.models[name], images).values())


def test_the_exported_graphs_name_what_they_predict(shipped):
    for name, vocabulary in (("emma", EXPRESSIONS), ("cotex", LSD_EXPRESSIONS)):
        prediction = onnx_predictor(shipped.folder / f"{name}.onnx")(shipped.images["rendered"])
        assert prediction.vocabulary == vocabulary and prediction.expression_logits.shape == (6, len(vocabulary))


@pytest.mark.parametrize(("name", "part"), [
    ("mae", lambda model: model.encoder), ("emma", lambda model: model.vit), ("cotex", lambda model: model.views[1]),
])  # fmt: skip
def test_a_stock_timm_takes_the_shipped_encoders_strictly_and_gives_their_tokens(name, part, shipped, tmp_path):
    encoder = part(shipped.models[name])
    save_timm_encoder(tmp_path / "encoder.safetensors", encoder)
    stock = timm.create_model(**json.loads((tmp_path / "encoder.json").read_text())).eval()
    stock.load_state_dict(load_file(tmp_path / "encoder.safetensors"), strict=True)
    with torch.no_grad():
        for images in shipped.images.values():
            torch.testing.assert_close(stock.forward_features(images), encoder(images), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_becomes_a_folder_that_gives_the_model_back(name, shipped, tmp_path):
    export_model_file(weights_dir() / FILES[name], tmp_path / "hub", trained_on="Rendered faces, no photograph.")
    again, images = load_folder(tmp_path / "hub"), shipped.images["photographs"]
    for output, tensor in in_pytorch(name, again, images).items():
        assert torch.equal(tensor, in_pytorch(name, shipped.models[name], images)[output])
