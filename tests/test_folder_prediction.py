"""Folders as people have them: what is read is a row, and what is not is said, whatever lies among the pictures."""

import os

import numpy as np
import pandas as pd
import pytest
from export_models import cotex, emma
from PIL import Image
from stand_ins import by_brightness, no_entry_to

from affect_core import command_line, photograph_prediction, prediction
from affect_core.command_line import main
from affect_core.errors import AffectError
from affect_core.folder_prediction import predict_folder, stored_size
from affect_core.photograph_prediction import FACELESS, predict_photographs
from affect_core.photos import find_faces, read_photos
from affect_core.picture_files import find_pictures
from affect_core.prediction import Predictor
from affect_core.synthetic.group_photo import group_photo
from affect_core.vit import ViTConfig

HEIC = b"\0\0\0\x18ftypheic" + bytes(16)


@pytest.fixture(scope="module")
def group():
    return group_photo(np.random.default_rng(0), ["happiness", "neutral", "surprise", "anger"], height=300)


@pytest.fixture
def mixed(tmp_path):
    """Two faces, and all that lies beside them: a phone's picture, a video, an archive, labels, files of systems."""
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.JPG"):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(folder / name)
    (folder / "phone.HEIC").write_bytes(HEIC)
    for name in ("clip.mp4", "old.zip", "animated.gif", "notes.txt", "labels.csv", "more.json", ".DS_Store",
                 "Thumbs.db", "._a.png"):  # fmt: skip
        (folder / name).touch()
    return folder


LEFT_OUT = {"phone.HEIC": "HEIC or AVIF format by its name, which is not read; save it as JPEG",
            "clip.mp4": "is a video, which affect_core.photos.read_video reads",
            "old.zip": "is not an image by its name", "animated.gif": "is not an image by its name"}  # fmt: skip


def test_no_file_of_a_mixed_folder_is_skipped_in_silence(mixed, tmp_path):
    report = predict_folder([mixed], tmp_path / "a.csv", by_brightness)
    assert report.written == 2 and list(pd.read_csv(tmp_path / "a.csv")["image"]) == [
        f"{mixed}/a.png", f"{mixed}/deep/b.JPG"
    ]  # fmt: skip
    reasons = dict(report.unreadable)
    assert sorted(reasons) == sorted(f"{mixed}/{name}" for name in LEFT_OUT)
    for name, words in LEFT_OUT.items():
        assert words in reasons[f"{mixed}/{name}"]
    assert report.notes == (f"passed over, no pictures by name: 6 files, first {mixed}/.DS_Store",)
    everything = len([path for path in mixed.rglob("*") if path.is_file()])
    assert everything == report.written + len(report.unreadable) + 6


def test_what_was_left_out_is_listed_with_exit_code_3(mixed, tmp_path, monkeypatch, capsys, record_property):
    monkeypatch.setattr(prediction, "load_predictor", lambda device: Predictor(emma(), cotex()))
    arguments = ["predict", str(mixed), "--out", str(tmp_path / "a.csv")]
    assert main(arguments) == command_line.UNREADABLE
    said = capsys.readouterr()
    assert "2 rows" in said.out and "4 files left out" in said.err and "note: passed over" in said.err
    assert all(f"{mixed}/{name} is" in said.err for name in LEFT_OUT) and "labels.csv" not in said.err
    record_property("reliability", {"part": "affect-core predict", "case": "HEIC, videos, unknown files in the folder",
                                    "treatment": "each listed with the reason, exit code 3"})  # fmt: skip


def test_notes_and_labels_beside_pictures_are_counted_and_no_fault(mixed, tmp_path, monkeypatch, capsys,
                                                                   record_property):  # fmt: skip
    for name in LEFT_OUT:
        (mixed / name).unlink()
    monkeypatch.setattr(prediction, "load_predictor", lambda device: Predictor(emma(), cotex()))
    assert main(["predict", str(mixed), "--out", str(tmp_path / "a.csv")]) == command_line.FINE
    assert "passed over, no pictures by name: 6 files" in capsys.readouterr().err
    record_property("reliability", {"part": "affect-core predict", "case": "text, tables, hidden files in the folder",
                                    "treatment": "counted in one sentence, exit code 0"})  # fmt: skip


def test_a_folder_of_heic_alone_says_so(tmp_path, record_property):
    for name in ("a.heic", "b.HEIF", "c.avif"):
        (tmp_path / name).write_bytes(HEIC)
    (tmp_path / "notes.txt").touch()
    expected = (f"no image under {tmp_path} that is read; left out: 3 files, first {tmp_path}/a.heic, which is in the "
                "HEIC .* save it as JPEG; passed over, .*: 1 file")  # fmt: skip
    with pytest.raises(AffectError, match=expected):
        find_pictures([tmp_path])
    record_property("reliability", {"part": "affect-core predict", "case": "a folder of HEIC alone",
                                    "treatment": "an error that says to save it as JPEG"})  # fmt: skip


def test_a_file_that_is_named_is_tried_unless_its_name_says_heic_or_video(mixed):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(mixed / "face", format="PNG")
    found = find_pictures([mixed / "face", mixed / "notes.txt", mixed / "phone.HEIC", mixed / "clip.mp4", mixed])
    assert found.images[:2] == [f"{mixed}/face", f"{mixed}/notes.txt"]
    assert len(found.left_out) == 5 and found.left_out[0][0] == f"{mixed}/phone.HEIC", "each once"
    with pytest.raises(AffectError, match=r"clip.mp4, which is a video"):
        find_pictures([mixed / "clip.mp4"])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(mixed):
    (mixed / "deep").chmod(0)
    with pytest.raises(AffectError, match="deep cannot be read: Permission denied"):
        find_pictures([mixed])
    (mixed / "deep").chmod(0o700)


def test_a_folder_that_fails_while_it_is_searched_is_named(mixed, monkeypatch):
    monkeypatch.setattr("affect_core.corpora.image_files.os.scandir", no_entry_to("deep"))
    with pytest.raises(AffectError, match="deep cannot be read: Permission denied"):
        find_pictures([mixed])


def test_pictures_are_decoded_as_large_as_a_model_looks_at_them(mixed, tmp_path):
    small, large = (Predictor(emma(vit=ViTConfig(image_size=size, patch_size=size // 4, width=32, depth=1, heads=2)),
                              cotex()) for size in (32, 192))  # fmt: skip
    assert stored_size(small) == stored_size(by_brightness) == 96 and stored_size(large) == 211
    sizes = []
    predict_folder([mixed / "a.png"], tmp_path / "a.csv", lambda pictures: sizes.append(pictures.shape)
                   or by_brightness(pictures))  # fmt: skip
    assert sizes == [(1, 96, 96, 3)]


# -- whole photographs -------------------------------------------------------------------------------------------------
def test_every_face_of_every_photograph_is_a_row_with_its_box(group, tmp_path):
    for name in ("a.png", "deep/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(group.pixels).save(tmp_path / name)
    report = predict_photographs([tmp_path], tmp_path / "out.csv", by_brightness)
    table = pd.read_csv(tmp_path / "out.csv")
    assert report == type(report)(8, ()) and table.columns.is_unique
    assert list(table["image"]) == [f"{tmp_path}/a.png"] * 4 + [f"{tmp_path}/deep/b.png"] * 4
    assert list(table["face"]) == [1, 2, 3, 4] * 2
    direct = read_photos(group.pixels, predict=by_brightness, thresholds=(0.5,) * 12)
    np.testing.assert_allclose(table["valence"], np.tile(direct.crops.reshape(4, -1).mean(1) / 255, 2), atol=1e-5)
    boxes = np.round([face.box for face in find_faces(group.pixels)])
    np.testing.assert_array_equal(table[["left", "top", "width", "height"]].to_numpy()[:4], boxes)
    assert (table["uncertainty"] == 0.875).all() and table["score"].between(0.8, 1).all()


def test_faces_are_cut_out_as_large_as_a_model_looks_at_them(group, tmp_path, monkeypatch):
    Image.fromarray(group.pixels).save(tmp_path / "group.png")
    sizes = []
    monkeypatch.setattr(Predictor, "predict_batch", lambda self, crops: sizes.append(crops.shape)
                        or by_brightness(crops))  # fmt: skip
    for size in (32, 192):
        vit = ViTConfig(image_size=size, patch_size=size // 4, width=32, depth=1, heads=2)
        predict_photographs([tmp_path], tmp_path / "a.csv", Predictor(emma(vit=vit), cotex()))
    assert sizes == [(4, 96, 96, 3), (4, 211, 211, 3)]


def test_photographs_without_a_face_and_broken_ones_are_reported(group, tmp_path, record_property):
    Image.fromarray(group.pixels).save(tmp_path / "group.png")
    Image.fromarray(np.full((90, 120, 3), 140, np.uint8)).save(tmp_path / "wall.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "group.png").read_bytes()[:2000])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "phone.heic").write_bytes(HEIC)
    report = predict_photographs([tmp_path], tmp_path / "out.csv", by_brightness)
    reasons = {name.removeprefix(f"{tmp_path}/"): reason for name, reason in report.unreadable}
    assert report.written == 4 and reasons.pop("phone.heic").endswith("save it as JPEG")
    assert reasons == {"wall.png": FACELESS, "half.png": "is truncated",
                       "gone.png": "cannot be read (No such file or directory)"}  # fmt: skip
    record_property("reliability", {"part": "affect-core predict", "case": "--find-faces: no face, broken, dead link",
                                    "treatment": "each listed with the reason; the others are read"})  # fmt: skip


def test_no_face_at_all_is_an_error_and_leaves_no_table(tmp_path):
    Image.fromarray(np.full((90, 120, 3), 140, np.uint8)).save(tmp_path / "wall.png")
    with pytest.raises(AffectError, match=r"no face in 1 photographs; .*wall.png shows no face"):
        predict_photographs([tmp_path], tmp_path / "out.csv", by_brightness)
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]


def test_small_faces_are_counted_in_a_note(group, tmp_path):
    width = group.pixels.shape[1] // 6
    Image.fromarray(group.pixels).resize((width, 50), Image.Resampling.BOX).save(tmp_path / "small.png")
    report = predict_photographs([tmp_path], tmp_path / "out.csv", by_brightness)
    assert report.unreadable == () and "1 photographs show faces less than 40 px high" in report.notes[0]


def test_one_photograph_is_in_memory_at_a_time(tmp_path, monkeypatch):
    """A face is asked about before the next photograph is opened, so that memory does not depend on their number."""
    for number in range(4):
        Image.fromarray(np.full((40, 40, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    events = []
    read, source = photograph_prediction.read_photos, photograph_prediction.Source

    class Watched(source):
        def open(self):
            events.append("open")
            return super().open()

    monkeypatch.setattr(photograph_prediction, "Source", Watched)
    monkeypatch.setattr(photograph_prediction, "read_photos", lambda *given, **options: read(*given, cropped=True,
                                                                                             **options))  # fmt: skip
    report = predict_photographs([tmp_path], tmp_path / "a.csv", lambda crops: events.append(len(crops))
                                 or by_brightness(crops))  # fmt: skip
    assert report.written == 4 and events == ["open", 1] * 4


def test_the_command_finds_faces_and_says_what_has_none(group, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(group.pixels).save(tmp_path / "in" / "group.png")
    Image.fromarray(np.full((90, 120, 3), 140, np.uint8)).save(tmp_path / "in" / "wall.png")
    monkeypatch.setattr(prediction, "load_predictor", lambda device: Predictor(emma(), cotex()))
    arguments = ["predict", str(tmp_path / "in"), "--find-faces", "--out", str(tmp_path / "a.csv")]
    assert main(arguments) == command_line.UNREADABLE
    said = capsys.readouterr()
    assert "4 rows" in said.out and "wall.png shows no face" in said.err and "1 file left out" in said.err
    assert len(pd.read_csv(tmp_path / "a.csv")) == 4
    (tmp_path / "in" / "wall.png").unlink()
    assert main(arguments) == command_line.FINE


def test_faces_in_parquet_are_those_in_csv(group, tmp_path):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    Image.fromarray(group.pixels).save(tmp_path / "group.png")
    tables = []
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        predict_photographs([tmp_path / "group.png"], tmp_path / name, by_brightness)
        tables.append(read(tmp_path / name))
    pd.testing.assert_frame_equal(*tables, check_dtype=False, atol=1e-4)
