"""Photographs: finding, aligning and reading faces, and an account of every file. The people are rendered."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from stand_ins import by_brightness, no_entry_to

from affect_core import photos as package
from affect_core.errors import AffectError
from affect_core.photos import align, find_faces, read_photos
from affect_core.photos.alignment import alignment
from affect_core.photos.opening import list_sources
from affect_core.photos.reading import NO_FACE, PREVIEW_SIDE
from affect_core.synthetic.camera import ALIGNMENT_TEMPLATE
from affect_core.synthetic.group_photo import group_photo, portrait
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene

THRESHOLDS = (0.5,) * 12


def read(photos, **options):
    return read_photos(photos, predict=by_brightness, thresholds=THRESHOLDS, **options)


@pytest.fixture(scope="module")
def group():
    return group_photo(np.random.default_rng(0), ["happiness", "neutral", "surprise", "anger"], height=300)


@pytest.fixture(scope="module")
def portrait_of_one():
    """One person in a square of 200 px, and the points by which the renderer framed the neutral face."""
    rng = np.random.default_rng(4)
    scene = portrait(sample_scene(rng, "clean"))
    pixels = render(sample_person(rng, "affectnet"), {}, scene, size=200)
    return pixels, 200 * ((ALIGNMENT_TEMPLATE - 0.5) * scene.zoom + 0.5 + scene.shift)


def eye_distance(points):
    return np.linalg.norm(points[1] - points[0])


def test_every_rendered_person_is_found_once_from_left_to_right_with_points_where_they_were_put(group):
    faces = find_faces(group.pixels)
    assert len(faces) == len(group.expressions)
    for face, truth in zip(faces, group.points, strict=True):
        off = np.linalg.norm(face.points - truth, axis=1) / eye_distance(truth)
        assert off[:2].max() < 0.2 and off.mean() < 0.25, "mouth corners move with the expression"
        assert (face.points[0] < face.points[1])[0] and (face.points[3] < face.points[4])[0], "left as seen comes first"


@pytest.mark.parametrize(("size", "corner"), [(50, (5, 8)), (90, (400, 20)), (200, (150, 190)), (420, (20, 40))])
def test_a_face_is_found_at_any_place_and_size(portrait_of_one, size, corner):
    pixels, points = portrait_of_one
    photo = np.full((480, 640, 3), pixels[0, 0], np.uint8)
    photo[corner[1] : corner[1] + size, corner[0] : corner[0] + size] = np.asarray(
        Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX if size < 200 else Image.Resampling.BICUBIC)
    )
    (face,) = find_faces(photo)
    truth = points * size / 200 + corner
    assert np.linalg.norm(face.points[:2] - truth[:2], axis=1).max() < 0.25 * eye_distance(truth)


def test_twelve_megapixels_are_searched_in_a_small_copy_and_cropped_in_full(portrait_of_one, record_property):
    pixels, points = portrait_of_one
    record_property("reliability", {"part": "photos", "case": "a photo of 12 megapixels",
                                    "treatment": "detected at 1280 px, cropped from the full resolution"})  # fmt: skip
    photo = np.full((3000, 4000, 3), pixels[0, 0], np.uint8)
    photo[800:2400, 1000:2600] = np.asarray(Image.fromarray(pixels).resize((1600, 1600), Image.Resampling.BICUBIC))
    photo[800:2400:4, 1000:2600:4] = 255 - photo[800:2400:4, 1000:2600:4]  # fine noise that only averaging removes
    reading = read(photo)
    (face,) = reading.photos[0].faces
    scale = 4000 / PREVIEW_SIDE
    assert reading.photos[0].size == (4000, 3000) and max(reading.photos[0].preview.shape) == PREVIEW_SIDE
    off = np.linalg.norm(face.points[:2] * scale - (points[:2] * 8 + [1000, 800]), axis=1)
    assert off.max() < 0.25 * 8 * eye_distance(points)
    quarter = np.asarray(Image.fromarray(photo).resize((1000, 750), Image.Resampling.BOX))
    averaged = align(quarter, face.points * scale / 4).astype(int)
    assert np.abs(reading.crops[0] - averaged).mean() < 2, "the noise is averaged, not sampled"
    table = reading.table()
    assert table.columns.is_unique and "uncertainty" in table
    assert table.loc[0, "left"] > 1000 and table.loc[0, "width"] > 400, "boxes are in pixels of the photo"


@pytest.mark.parametrize("side", [400, 700, 1280])
def test_a_face_that_fills_a_large_picture_is_one_face(side, record_property):
    record_property("reliability", {"part": "photos", "case": f"one face fills {side} px",
                                    "treatment": "found once; its eyes and mouth are no faces"})  # fmt: skip
    rng = np.random.default_rng(2)
    crop = render(sample_person(rng, "affectnet"), {}, replace(sample_scene(rng, "clean"), roll=0.0), size=200)
    large = np.asarray(Image.fromarray(crop[30:, 30:170]).resize((side * 14 // 17, side), Image.Resampling.BICUBIC))
    (face,) = find_faces(large)
    assert face.box[3] > 0.7 * side


def test_small_faces_beside_a_large_one_are_kept(portrait_of_one):
    pixels, _ = portrait_of_one
    photo = np.full((900, 1200, 3), pixels[0, 0], np.uint8)
    photo[:, :900] = np.asarray(Image.fromarray(pixels).resize((900, 900), Image.Resampling.BICUBIC))
    photo[300:420, 1000:1120] = np.asarray(Image.fromarray(pixels).resize((120, 120), Image.Resampling.BOX))
    heights = [face.box[3] for face in find_faces(photo)]
    assert len(heights) == 2 and heights[0] > 6 * heights[1]


def test_a_face_already_cropped_is_found_and_framed_as_it_was(record_property):
    record_property("reliability", {"part": "photos", "case": "a face already cropped tightly",
                                    "treatment": "found and framed again as it was"})  # fmt: skip
    rng = np.random.default_rng(8)
    for size in (48, 96, 160):
        crop = render(sample_person(rng, "affectnet"), {}, replace(sample_scene(rng, "clean"), roll=0.0), size=size)
        (face,) = find_faces(crop)
        grown = alignment(face.points, 96)[:, :2] @ [size / 96, 0]
        assert 0.8 < np.hypot(*grown) < 1.25, "the crop is the crop again"


def test_cropped_photos_are_taken_whole():
    pixels = np.zeros((60, 50, 3), np.uint8)
    reading = read([pixels, pixels + 200], cropped=True)
    np.testing.assert_allclose(reading.prediction.valence_arousal[:, 0], [0, 200 / 255], atol=1e-6)
    assert reading.crops.shape == (2, 96, 96, 3) and len(reading.table()) == 2


def test_grey_and_colour_give_the_same_faces(group):
    grey = np.asarray(Image.fromarray(group.pixels).convert("L"))
    for face, other in zip(find_faces(group.pixels), find_faces(grey), strict=True):
        assert np.abs(face.points - other.points).max() < 0.2 * eye_distance(face.points)
    crop = align(grey, face.points)
    assert crop.shape == (96, 96, 3) and (crop == crop[..., :1]).all()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_undone(group, tmp_path, orientation, record_property):
    record_property("reliability", {"part": "photos", "case": f"EXIF orientation {orientation}",
                                    "treatment": "turned upright before anything else"})  # fmt: skip
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(group.pixels, turns).copy()).save(tmp_path / "turned.png", exif=exif)
    reading = read(tmp_path / "turned.png")
    assert reading.photos[0].size == group.pixels.shape[1::-1] and len(reading.crops) == 4
    np.testing.assert_array_equal(reading.crops, read(group.pixels).crops)


def test_alignment_brings_the_five_points_to_the_template_whatever_shift_scale_and_turn():
    angle = np.deg2rad(50)
    turn = 3.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ALIGNMENT_TEMPLATE @ turn.T + [120, -40]
    transform = alignment(points, 112)
    np.testing.assert_allclose(points @ transform[:, :2].T + transform[:, 2], ALIGNMENT_TEMPLATE * 112, atol=1e-9)


def test_aligning_a_picture_at_its_own_template_changes_nothing_and_a_larger_one_is_averaged():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert np.abs(align(pixels, ALIGNMENT_TEMPLATE * 96).astype(int) - pixels).max() <= 1
    large = np.repeat(np.repeat(pixels, 5, axis=0), 5, axis=1)
    assert np.abs(align(large, ALIGNMENT_TEMPLATE * 480).astype(int) - pixels).max() <= 1
    checkered = np.indices((960, 960)).sum(0) % 2 * 255
    grey = align(checkered.astype(np.uint8), ALIGNMENT_TEMPLATE * 960)
    assert np.abs(grey.astype(int) - 127).max() <= 2, "sampling alone would give black or white"


def test_points_that_are_no_face_are_refused():
    for points in (np.zeros((5, 2)), np.full((5, 2), np.nan), np.ones((4, 2))):
        with pytest.raises(AffectError, match="Five different points"):
            align(np.zeros((9, 9, 3), np.uint8), points)


def test_no_file_of_a_folder_is_skipped_in_silence(group, tmp_path, record_property):
    record_property("reliability", {"part": "photos", "case": "a folder with unreadable, foreign and faceless files",
                                    "treatment": "each listed with a remark; the others are read"})  # fmt: skip
    folder = tmp_path / "holidays"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(group.pixels).save(folder / "deep" / "group.png")
    Image.fromarray(np.full((90, 120, 3), 140, np.uint8)).save(folder / "wall.png")
    (folder / "half.png").write_bytes((folder / "deep" / "group.png").read_bytes()[:2000])
    (folder / "empty.jpg").touch()
    (folder / "pretends.jpg").write_text("a text")
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "clip.mp4").touch()
    (folder / "notes.txt").touch()
    reading = read(folder)
    files = reading.files()
    said = {
        "deep/group.png": "", "wall.png": NO_FACE, "half.png": "is truncated", "empty.jpg": "is empty",
        "pretends.jpg": "is not an image", "phone.HEIC": "save it as JPEG", "clip.mp4": "read_video",
        "notes.txt": "not an image by its name",
    }  # fmt: skip
    assert sorted(files.index) == sorted(said)
    for name, words in said.items():
        assert words in files.loc[name, "remark"], name
    assert files["faces"].sum() == 4 == len(reading.table())
    assert set(reading.table()["photo"]) == {"deep/group.png"}


@pytest.mark.parametrize(("content", "said"), [
    (b"\0\0\0\x18ftypheic", "is in the HEIC or AVIF format, which is not read; save it as JPEG"),
    (b"a text", "is not an image (neither JPEG, PNG nor another known format): save it as JPEG first "
     "(HEIC is not read)"),
])  # fmt: skip
def test_the_advice_for_a_phones_picture_is_given_once(content, said, tmp_path):
    (tmp_path / "phone.HEIC").write_bytes(content)
    assert read([tmp_path / "phone.HEIC"]).photos[0].remark == said


def test_photos_without_any_face_have_an_empty_table_and_a_remark(tmp_path):
    reading = read([np.full((80, 90, 3), 99, np.uint8), np.zeros((8, 90, 3), np.uint8)])
    assert reading.prediction is None and len(reading.table()) == 0
    assert reading.photos[0].remark == NO_FACE and "too small" in reading.photos[1].remark
    assert pd.read_csv(reading.to_csv(tmp_path / "none.csv")).columns.tolist()[:2] == ["photo", "face"]


def test_small_faces_are_remarked(group):
    small = np.asarray(Image.fromarray(group.pixels).resize((group.pixels.shape[1] // 6, 50), Image.Resampling.BOX))
    assert "faces less than 40 px high" in read(small).photos[0].remark


def test_the_table_has_a_row_a_face_and_survives_csv(group, tmp_path):
    reading = read([np.full((80, 90, 3), 99, np.uint8), group.pixels])
    assert list(reading.rows(0)) == [] and list(reading.rows(1)) == [0, 1, 2, 3]
    table = pd.read_csv(reading.to_csv(tmp_path / "faces.csv"))
    assert table["face"].tolist() == [1, 2, 3, 4] and set(table["photo"]) == {"picture 2"}
    np.testing.assert_allclose(table["valence"], reading.crops.reshape(4, -1).mean(1) / 255, atol=1e-5)
    centres = group.points.mean(1)
    assert ((table["left"] < centres[:, 0]) & (centres[:, 0] < table["left"] + table["width"])).all()
    assert table["uncertainty"].tolist() == [0.875] * 4 and not table["active_AU12"].any()
    with pytest.raises(AffectError, match=r"ends in \.csv"):
        reading.to_csv(tmp_path / "faces.xls")


def test_uploads_arrays_and_pil_images_are_photos(group, tmp_path):
    Image.fromarray(group.pixels).save(tmp_path / "group.png")
    data = (tmp_path / "group.png").read_bytes()
    upload = ({"name": "mine.png", "content": memoryview(data)}, {"name": "film.mov", "content": memoryview(b"")})
    reading = read([*upload, group.pixels, Image.fromarray(group.pixels), tmp_path / "group.png"])
    assert [len(photo.faces) for photo in reading.photos] == [4, 0, 4, 4, 4]
    assert "read_video" in reading.photos[1].remark
    for first in (4, 8, 12):
        np.testing.assert_array_equal(reading.crops[first : first + 4], reading.crops[:4])


@pytest.mark.parametrize(("given", "message"), [
    ("nowhere/a.jpg", "nowhere/a.jpg not found"),
    ("FOLDER", "no photo to read"),
    ([], "no photo to read"),
    ("FOLDER/film.mp4", "is a video; give its path to read_video"),
    (3, "not int"),
    (np.zeros((4, 4, 4), np.uint8), r"picture 1 is uint8 \(4, 4, 4\)"),
    (np.zeros((40, 40)), "picture 1 is float64"),
    ([{"name": "a"}], "a name and a content"),
])  # fmt: skip
def test_what_is_no_photo_is_said_in_a_sentence(given, message, tmp_path):
    (tmp_path / "film.mp4").touch()
    if isinstance(given, str):
        given = given.replace("FOLDER", str(tmp_path))
    with pytest.raises(AffectError, match=message):
        list_sources(given)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "private").mkdir()
    monkeypatch.setattr("affect_core.corpora.image_files.os.scandir", no_entry_to("private"))
    with pytest.raises(AffectError, match="private cannot be read: Permission denied"):
        list_sources(tmp_path)


def test_the_detector_refuses_what_is_no_picture():
    for wrong in (np.zeros((40, 40)), np.zeros((2, 40, 40, 3), np.uint8)):
        with pytest.raises(AffectError, match="takes uint8"):
            find_faces(wrong)
    with pytest.raises(AffectError, match="too small"):
        find_faces(np.zeros((10, 300, 3), np.uint8))


def test_the_shipped_models_read_a_rendered_smile_as_happier_than_a_scowl():
    rng = np.random.default_rng(6)
    scene, person = portrait(sample_scene(rng, "clean")), sample_person(rng, "affectnet")
    displays = {6: 0.8, 12: 1.0, 25: 0.6}, {4: 1.0, 7: 0.7, 23: 0.8}
    smile, scowl = (render(person, units, scene, size=200) for units in displays)
    reading = read_photos([smile, scowl])
    valence = reading.prediction.valence_arousal[:, 0]
    assert valence[0] > valence[1] + 0.2 and reading.thresholds.shape == (12,)


def test_the_package_names_what_its_head_promises():
    assert all(hasattr(package, name) for name in package.__all__)
