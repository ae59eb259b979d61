"""Copies of a picture have almost the same hash, other pictures do not, and the search misses no pair."""

import io

import numpy as np
import pytest
from PIL import Image
from published_layouts import write_affectnet_2021, write_faces, write_lsd

from affect_core import near_duplicates
from affect_core.corpora import open_corpus
from affect_core.near_duplicates import THRESHOLD, duplicates_across_splits, nearest_hashes, perceptual_hashes


def pictures(n, size=64, seed=0):
    """Noise with the spectrum of photographs: amplitudes fall as one over the frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(rng.normal(size=(n, 3, size, size))) / frequency
    values = np.fft.ifft2(noise).real.transpose(0, 2, 3, 1)
    return np.clip(128 + 45 * values / values.std(), 0, 255).astype(np.uint8)


def differing(hashes, others):
    return np.unpackbits(hashes ^ others, axis=-1).sum(-1)


def as_jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


COPIES = {
    "JPEG": as_jpeg,
    "half size": lambda one: np.asarray(Image.fromarray(one).resize((32, 32)).resize((64, 64))),
    "twice the size": lambda one: np.asarray(Image.fromarray(one).resize((128, 128))),
    "less contrast": lambda one: (one * 0.8 + 20).astype(np.uint8),
    "noise": lambda one: np.clip(one + np.random.default_rng(0).normal(0, 6, one.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_a_near_duplicate(copy):
    faces = pictures(40)
    copies = np.stack([COPIES[copy](face) for face in faces])
    assert (differing(perceptual_hashes(faces), perceptual_hashes(copies)) <= THRESHOLD).all()


def test_other_pictures_are_not():
    hashes = perceptual_hashes(pictures(60))
    distance = differing(hashes[:, None], hashes[None])[~np.eye(60, dtype=bool)]
    assert distance.min() > 2 * THRESHOLD


def test_hash_equals_its_definition_written_out():
    face = pictures(1)[0]
    grey = face @ [0.299, 0.587, 0.114]
    k, n = np.arange(64)[:, None], np.arange(64)[None]
    cosines = np.cos(np.pi * (2 * n + 1) * k / 128)
    low = (cosines @ grey @ cosines.T)[:12, :12].ravel()[1:]
    expected = low > np.median(low)
    bits = np.unpackbits(perceptual_hashes(face[None])[0])
    assert (bits[:143] != expected).sum() <= 2 and bits[143] == 0  # OpenCV rounds grey to integers


def test_pixels_are_read_a_chunk_at_a_time(monkeypatch):
    class Store:
        read = []

        def __len__(self):
            return 50

        def __getitem__(self, rows):
            self.read.append(rows.stop - rows.start)
            return pictures(50)[rows]

    monkeypatch.setattr(near_duplicates, "CHUNK", 16)
    hashes = perceptual_hashes(store := Store())
    assert max(store.read) == 16 and hashes.shape == (50, 18)
    monkeypatch.setattr(near_duplicates, "CHUNK", 64)
    assert np.array_equal(perceptual_hashes(pictures(50)), hashes)


@pytest.mark.parametrize("block", [(3, 5), (64, 64)])
def test_search_in_blocks_equals_a_loop_over_all_pairs(monkeypatch, block):
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    rng = np.random.default_rng(0)
    hashes, others = (rng.integers(0, 256, (n, 18), dtype=np.uint8) for n in (17, 23))
    index, distance = nearest_hashes(hashes, others)
    for row, one in enumerate(hashes):
        distances = [int(differing(one, other)) for other in others]
        assert (index[row], distance[row]) == (int(np.argmin(distances)), min(distances))


def test_copies_across_splits_are_found_and_named(tmp_path):
    base = write_lsd(tmp_path, per_class=4)
    training = [base / f"training_set_synthetic_images/FEAR/new{number}.jpg" for number in range(3)]
    for number, (path, picture) in enumerate(zip(training, pictures(3, 112), strict=True)):
        Image.fromarray(picture).save(path)
        Image.open(path).resize((90, 90)).save(base / f"validation_set_real_images/FEAR/copy{number}.jpg", quality=60)
    corpus = open_corpus(tmp_path, "lsd", size=64, store_dir=tmp_path / "stores")
    found = duplicates_across_splits(corpus)
    assert sorted(name.rpartition("/")[2] for name in found["image"]) == ["copy0.jpg", "copy1.jpg", "copy2.jpg"]
    assert sorted(found["other_image"]) == [f"lsd/{path.relative_to(base)}" for path in training]
    assert set(found["split"]) == {"validation"} and set(found["other_split"]) == {"training"}
    assert found["distance"].is_monotonic_increasing and found["distance"].max() <= THRESHOLD
    assert corpus.table["image"][found["row"]].tolist() == found["image"].tolist()
    assert len(duplicates_across_splits(corpus, threshold=0)) < 3


def test_copies_within_a_split_are_none_across_splits(tmp_path):
    write_faces(tmp_path, images=4)
    write_affectnet_2021(tmp_path, per_class=1)
    faces = open_corpus(tmp_path, "faces", size=32, store_dir=tmp_path / "stores")
    stills = open_corpus(tmp_path, "affectnet", size=32, store_dir=tmp_path / "stores")
    assert duplicates_across_splits(faces).empty
    twice = stills.select(np.repeat(np.arange(len(stills)), 2))
    assert duplicates_across_splits(twice, threshold=0).empty
