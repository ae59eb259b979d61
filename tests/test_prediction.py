"""From pictures to one answer: what may be given, how the models are combined, and the weights that ship."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import affect_core
from affect_core import prediction, shipped
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, EXPRESSIONS, LSD_EXPRESSIONS
from affect_core.photos.opening import list_sources
from affect_core.prediction import Predictor, as_pictures, to_expressions
from affect_core.project_folders import project_root
from affect_core.storage import read_json
from affect_core.vit import ViTConfig

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3)


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    emma = EMMA(EMMAConfig(vit=VIT, hidden=16, va_hidden=8), DAN(DANConfig(width=4, num_heads=2, small_images=True)))
    return Predictor(emma.eval(), CoTEX(CoTEXConfig(vit=VIT)).eval())


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 48, 40, 3), dtype=np.uint8)


def test_every_way_of_giving_the_same_pictures_gives_the_same_answer(predictor, faces, tmp_path):
    batch = predictor(faces)
    assert batch.expression_logits.shape == (5, 8) and batch.action_unit_logits.shape == (5, 12)
    for number, face in enumerate(faces):
        Image.fromarray(face).save(tmp_path / f"{number}.png")
    ways = {
        "list": list(faces), "floats": faces / 255, "PIL": [Image.fromarray(face) for face in faces],
        "paths": [tmp_path / f"{number}.png" for number in range(5)],
    }  # fmt: skip
    for name, images in ways.items():
        answer = predictor(images, batch_size=2)
        np.testing.assert_allclose(answer.expression_logits, batch.expression_logits, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(answer.valence_arousal, batch.valence_arousal, atol=1e-4, err_msg=name)
    one = predictor(faces[3])
    np.testing.assert_allclose(one.expression_logits[0], batch.expression_logits[3], atol=1e-4)


def odd_pictures(folder):
    """Files whose pixels are not plain RGB: turned by EXIF, transparent, 16-bit grey, a palette."""
    rng, exif = np.random.default_rng(3), Image.Exif()
    exif[0x0112] = 6
    pixels = rng.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(pixels[..., :3]).save(folder / "turned.png", exif=exif)
    Image.fromarray(pixels).save(folder / "transparent.png")
    Image.fromarray(rng.integers(0, 2**16, (40, 60), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(pixels[..., :3]).quantize(16).save(folder / "palette.png")
    return sorted(folder.glob("*.png"))


def test_an_open_picture_is_read_as_its_file_is(tmp_path):
    for path in odd_pictures(tmp_path):
        with Image.open(path) as image:
            np.testing.assert_array_equal(as_pictures(image), as_pictures(path), err_msg=path.name)
            photo, file = (list_sources(given)[0].open().pixels for given in (image, path))
            np.testing.assert_array_equal(photo, file, err_msg=path.name)


def test_an_open_picture_that_cannot_be_read_is_named(tmp_path):
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "cut.bmp")
    (tmp_path / "cut.bmp").write_bytes((tmp_path / "cut.bmp").read_bytes()[:3000])
    with Image.open(tmp_path / "cut.bmp") as cut:
        for image in (cut, Image.fromarray(np.zeros((9, 9), np.float32))):
            with pytest.raises(AffectError, match="image 0 (cannot be decoded|has floating-point pixels)"):
                as_pictures(image)
            with pytest.raises(AffectError, match="no photo to read"):
                list_sources(image)


def test_grey_pictures_are_pictures(predictor, faces):
    grey = faces[..., 0]
    repeated = predictor(np.repeat(grey[..., None], 3, axis=3))
    np.testing.assert_allclose(predictor(list(grey)).expression_logits, repeated.expression_logits, atol=1e-5)


def test_answers_are_proper_and_mirror_images_get_the_same_one(predictor, faces):
    answer = predictor(faces)
    np.testing.assert_allclose(np.exp(answer.expression_logits).sum(axis=1), 1, atol=1e-5)
    assert (np.abs(answer.valence_arousal) <= 1).all()
    expected = 1 - np.exp(answer.expression_logits).max(axis=1)
    np.testing.assert_allclose(answer.uncertainty, expected, atol=1e-5)
    mirrored = predictor(faces[:, :, ::-1])
    np.testing.assert_allclose(mirrored.expression_logits, answer.expression_logits, atol=1e-4)


def test_affectnets_order_is_translated_and_contempt_left_out():
    logits = torch.randn(3, 8).log_softmax(dim=1)
    translated = to_expressions(logits)
    assert torch.allclose(translated.exp().sum(dim=1), torch.ones(3))
    assert torch.isinf(translated[:, EXPRESSIONS.index("other")]).all()
    for first, second in (("happiness", "neutral"), ("anger", "fear")):
        before = logits[:, AFFECTNET_EXPRESSIONS.index(first)] - logits[:, AFFECTNET_EXPRESSIONS.index(second)]
        after = translated[:, EXPRESSIONS.index(first)] - translated[:, EXPRESSIONS.index(second)]
        assert torch.allclose(before, after, atol=1e-5)


def test_cotex_moves_mass_among_its_six_expressions_only(predictor):
    cnn, vit = to_expressions(torch.randn(4, 8).log_softmax(1)), torch.randn(4, 8).log_softmax(1)
    sure = torch.full((4, 6), -20.0)
    sure[:, LSD_EXPRESSIONS.index("fear")] = 0
    without = Predictor(predictor.emma, predictor.cotex, cotex_share=0).combine(cnn, vit, sure)
    combined = predictor.combine(cnn, vit, sure)
    apart = [EXPRESSIONS.index("neutral"), EXPRESSIONS.index("other")]
    assert torch.allclose(combined[:, apart], without[:, apart], atol=1e-5)
    fear = EXPRESSIONS.index("fear")
    assert (combined[:, fear] > without[:, fear]).all()
    assert torch.allclose(combined.exp().sum(dim=1), torch.ones(4), atol=1e-5)


def test_prevalence_shifts_log_probabilities_by_its_logarithm(predictor, faces):
    expected = tuple(range(1, 9))
    alike, shifted = predictor(faces), replace(predictor, prevalence=expected)(faces)
    gap = shifted.expression_logits - alike.expression_logits
    np.testing.assert_allclose(gap - gap[:, :1], np.broadcast_to(np.log(expected), (5, 8)), atol=1e-4)


def test_a_prevalence_that_lacks_an_expression_is_refused(faces):
    alike = dict.fromkeys(EXPRESSIONS, 1.0)
    others = [alike | {"fear": value} for value in (0, -1, float("nan"), float("inf"), "x", None, True)]
    for wrong in ({"neutral": 1}, list(EXPRESSIONS), *others):
        with pytest.raises(AffectError, match="a number above 0 for each of neutral, anger"):
            affect_core.predict(faces, prevalence=wrong)


def test_the_zoom_of_a_view_is_the_centre_of_the_picture(predictor):
    picture = np.zeros((1, 96, 96, 3), np.uint8)
    picture[:, 24:72, 24:72] = 255
    views = Predictor(predictor.emma, predictor.cotex, zooms=(2.0,)).views(torch.from_numpy(picture))
    assert views.shape == (2, 3, 32, 32)
    assert torch.allclose(views, views.flip(3)) and float(views.std(dim=(2, 3)).max()) < 1e-5


@pytest.mark.parametrize(("images", "message"), [
    ([], "no images"),
    (torch.zeros(2, 8, 8, 3), "not torch tensors"),
    ([np.zeros((8, 8, 4), np.uint8)], r"image 0 has the shape \(8, 8, 4\)"),
    ([np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.int64)], "image 1 is of int64"),
    ([np.full((8, 8), 2.0)], "image 0 is of floats beyond 0 to 1"),
    (["nowhere.png"], "image nowhere.png cannot be read"),
    (17, "not int"),
])  # fmt: skip
def test_what_is_no_picture_is_named(predictor, images, message):
    with pytest.raises(AffectError, match=message):
        predictor(images)


def test_pictures_are_cut_to_their_central_square():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    assert (as_pictures(wide, 20) == 200).all()
    assert as_pictures(wide).shape == (1, prediction.STORED_SIZE, prediction.STORED_SIZE, 3)


def test_the_shipped_weights_are_small_known_and_answer():
    folder = shipped.weights_dir()
    sizes = {name: (folder / file).stat().st_size for name, file in shipped.FILES.items()}
    assert sum(sizes.values()) <= 30e6
    for name in (*shipped.MODELS, "predict"):
        assert "## Intended use" in (folder / f"{name}.md").read_text()
    assert len(read_json(folder / "training.json")["emma"]["log"]) > 0
    answer = affect_core.predict(np.full((2, 64, 64, 3), 128, np.uint8))
    assert np.isfinite(answer.expression_logits).all() and np.isfinite(answer.valence_arousal).all()


def test_the_shipped_prior_is_the_one_inside_emma():
    prior, emma = shipped.shipped_model("prior"), shipped.shipped_model("emma")
    for name, tensor in prior.state_dict().items():
        assert torch.equal(tensor, emma.prior.model.state_dict()[name])
    with pytest.raises(AffectError, match="there are mae, prior, emma, cotex"):
        shipped.shipped_model("dan")


def test_an_installed_package_takes_weights_from_a_named_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(AffectError, match="set AFFECT_WEIGHTS to a copy"):
        shipped.shipped_model("mae")
    monkeypatch.setenv("AFFECT_WEIGHTS", str(tmp_path))
    shutil.copy(project_root() / "data/weights/mae.safetensors", tmp_path)
    assert shipped.shipped_model("mae").config.mask_ratio == 0.75


@pytest.mark.parametrize("shape", [(80, 90, 4), (3, 80, 90), (4, 80, 90)])
def test_transparency_and_channels_that_come_first_are_no_batch_of_grey_pictures(shape):
    with pytest.raises(AffectError, match="looks like one picture with transparency, or with channels first"):
        as_pictures(np.zeros(shape, np.uint8))
    assert len(as_pictures(list(np.zeros((3, 80, 90), np.uint8)))) == 3, "as a list they are"
    assert len(as_pictures(np.zeros((5, 80, 90), np.uint8))) == 5


def test_a_batch_size_or_a_device_that_is_not_there_is_refused(faces):
    for wrong in (0, -1, 2.5):
        with pytest.raises(AffectError, match="batch_size is the number of pictures"):
            affect_core.predict(faces, batch_size=wrong)
    if not torch.cuda.is_available():
        with pytest.raises(AffectError, match="there is no CUDA device here"):
            affect_core.predict(faces, device="cuda")


def test_a_first_answer_in_inference_mode_and_in_float64_is_the_same_as_any_other(faces):
    expected = affect_core.predict(faces).valence_arousal
    before = torch.get_default_dtype()
    prediction.load_predictor.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            first = affect_core.predict(faces).valence_arousal
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(affect_core.predict(faces).valence_arousal, expected)
