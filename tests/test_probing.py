"""Features for a probe and errors by face: equal to a literal reading, and the model is left as it was found."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from affect_core.augment import prepare
from affect_core.mae import MAE, MAEConfig
from affect_core.probing import BATCH, grid_features, hidden_errors
from affect_core.vit import ViTConfig

TINY = MAEConfig(vit=ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=2, drop_path=0.0),
                 decoder_width=16, decoder_depth=1, decoder_heads=2)  # fmt: skip


@pytest.fixture
def mae():
    torch.manual_seed(0)
    return MAE(TINY).eval()


@pytest.fixture
def corpus():
    return SimpleNamespace(images=np.random.default_rng(0).integers(0, 256, (BATCH + 6, 32, 32, 3), np.uint8))


def test_a_cell_is_the_mean_of_its_patch_tokens(mae, corpus):
    rows = [5, BATCH + 2, 0]
    features = grid_features(mae.encoder, corpus, rows, cells=2)
    assert features.shape == (3, 2 * 2 * 24) and features.dtype == np.float32
    with torch.no_grad():
        tokens = mae.encoder(prepare(torch.from_numpy(corpus.images[rows]), 32))[:, 1:].reshape(3, 4, 4, 24)
    top_right = tokens[:, :2, 2:].mean((1, 2)).numpy()
    np.testing.assert_allclose(features.reshape(3, 24, 2, 2)[:, :, 0, 1], top_right, atol=1e-5)


def test_features_follow_the_order_of_rows_across_batches(mae, corpus):
    rows = np.random.default_rng(1).permutation(len(corpus.images))
    shuffled, ordered = (grid_features(mae.encoder, corpus, r) for r in (rows, np.arange(len(rows))))
    np.testing.assert_allclose(shuffled, ordered[rows], atol=1e-4)


def test_no_more_cells_than_patches_and_no_faces_is_no_error(mae, corpus):
    assert grid_features(mae.encoder, corpus, [0], cells=99).shape == (1, 16 * 24)
    assert grid_features(mae.encoder, corpus, []).shape == (0, 16 * 24)


def test_the_encoder_is_left_in_its_mode(mae, corpus):
    mae.encoder.train()
    grid_features(mae.encoder, corpus, [0])
    assert mae.encoder.training


def test_errors_of_faces_average_to_the_loss(mae, corpus):
    images = prepare(torch.from_numpy(corpus.images[:9]), 32)
    errors = hidden_errors(mae, images, 0.5, torch.Generator().manual_seed(3))
    with torch.no_grad():
        loss = float(mae(images, mask_ratio=0.5, generator=torch.Generator().manual_seed(3)).loss)
    assert errors.shape == (9,) and errors.std() > 0
    np.testing.assert_allclose(errors.mean(), loss, rtol=1e-5)


def test_a_face_whose_hidden_patches_are_painted_flat_costs_about_one(mae, corpus):
    torch.nn.init.zeros_(mae.decoder_pred.weight)  # answers 0: every patch flat, in its own mean colour
    images = prepare(torch.from_numpy(corpus.images), 32)
    np.testing.assert_allclose(hidden_errors(mae, images), 191 / 192, rtol=1e-4)
