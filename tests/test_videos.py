"""Videos: even sampling, cuts, one face followed, smoothing that stops at cuts and gaps. The people are rendered."""

import cv2
import numpy as np
import pandas as pd
import pytest

from affect_core.errors import AffectError
from affect_core.labels import AffectPrediction
from affect_core.photos import VideoFrames, read_video, video_timeline
from affect_core.photos.detection import Face
from affect_core.photos.following import follow, overlap
from affect_core.photos.smoothing import smooth, stretches
from affect_core.photos.video import CutDetector
from affect_core.synthetic.group_photo import write_clip


def constant(crops):
    """A stand-in for the models: the same answer for every face."""
    logits = np.log(np.tile([0.6, 0.4, *[1e-9] * 6], (len(crops), 1)))
    plane, doubt = np.tile([0.3, -0.2], (len(crops), 1)), np.full(len(crops), 0.4)
    return AffectPrediction(logits, np.zeros((len(crops), 12)), plane, doubt)


def write(path, frames, rate=10, codec="mp4v"):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two shots of 2 s at 10 frames a second; nobody is in the picture from about 0.8 to 1.5 s."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    shots = [["neutral"], ["happiness"]]
    return write_clip(path, np.random.default_rng(1), shots, seconds=2.0, away=(0.7, 1.6), size=128)


@pytest.fixture(scope="module")
def reading(clip):
    return read_video(clip, predict=constant, thresholds=(0.5,) * 12)


def test_a_clip_is_sampled_evenly_and_its_cut_found(clip):
    frames = VideoFrames(clip, frames_per_second=5)
    assert frames.expected() == 20
    sampled = list(frames)
    np.testing.assert_allclose([frame.time for frame in sampled], np.arange(20) / 5, atol=0.01)
    assert frames.cuts == [2.0] and [frame.shot for frame in sampled] == [0] * 10 + [1] * 10
    assert frames.duration == pytest.approx(4.0) and frames.remarks == []
    assert sampled[0].pixels.shape == (128, 128, 3)


def test_more_frames_than_there_are_means_every_frame(clip):
    assert len(list(VideoFrames(clip, frames_per_second=100))) == 40


def test_movement_and_fades_are_no_cuts():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (60, 200, 3), dtype=np.uint8)
    scene = cv2.blur(scene, (25, 25)) * 3
    pan, fade = CutDetector(), CutDetector()
    assert not any([pan.starts_shot(scene[:, 2 * step : 2 * step + 80]) for step in range(60)])
    assert not any([fade.starts_shot((scene[:, :80] * (1 - step / 60)).astype(np.uint8)) for step in range(60)])
    assert pan.starts_shot(255 - scene[:, 118:198]), "and a cut after the pan is one"


def test_colours_are_red_green_blue(tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 220  # OpenCV writes blue first
    (frame, *_) = VideoFrames(write(tmp_path / "red.mp4", [red] * 5))
    assert frame.pixels[..., 0].mean() > 180 and frame.pixels[..., 2].mean() < 40


def test_what_is_not_read_is_said(clip, tmp_path, record_property):
    record_property("reliability", {"part": "videos", "case": "a video longer than `longest`, or cut off",
                                    "treatment": "read as far as it goes, with a remark"})  # fmt: skip
    short = VideoFrames(clip, longest=1.0)
    assert max(frame.time for frame in short) <= 1.0 and "only the first 1 s" in short.remarks[0]
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    whole = write(tmp_path / "a.avi", [pixels] * 40, codec="MJPG").read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) // 2])
    broken = VideoFrames(tmp_path / "a.avi")
    assert 0 < len(list(broken)) < 15 and "should have 40 frames" in broken.remarks[0]


@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
def test_no_video_is_an_error_that_names_the_file(tmp_path, content, record_property):
    record_property("reliability", {"part": "videos", "case": "a missing, empty or foreign file",
                                    "treatment": "refused in one sentence with its name"})  # fmt: skip
    if content is not None:
        (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(AffectError, match=r"film\.mp4 (not found|is not a video)"):
        read_video(tmp_path / "film.mp4", predict=constant)


def test_frames_a_second_must_be_above_zero(clip):
    with pytest.raises(AffectError, match="above 0"):
        VideoFrames(clip, frames_per_second=0)


def test_the_face_is_followed_in_both_shots_and_gaps_stay_gaps(reading, record_property):
    record_property("reliability", {"part": "videos", "case": "nobody in the picture for a while, then a cut",
                                    "treatment": "no answer there; nothing is averaged across gap or cut"})  # fmt: skip
    found = reading.followed >= 0
    assert found[reading.times < 0.45].all() and found[reading.times >= 1.95].all()
    assert not found[(reading.times > 0.85) & (reading.times < 1.45)].any()
    timeline = reading.timeline(sigma=0.5)
    assert (np.isnan(timeline.valence_arousal).all(axis=1) == ~found).all()
    np.testing.assert_allclose(timeline.valence_arousal[found], np.tile([0.3, -0.2], (found.sum(), 1)))
    assert (timeline.named()[found] == 0).all() and (timeline.named()[~found] == -1).all()
    assert len(np.unique(timeline.stretch[found])) == 3, "before the gap, after it, and the second shot"


def test_the_table_has_every_face_and_every_empty_frame(reading, tmp_path):
    table = pd.read_csv(reading.to_csv(tmp_path / "clip.csv"))
    assert len(table) == len(reading.times) + len(reading.boxes) - (reading.followed >= 0).sum()
    empty = table[table["face"] == 0]
    assert len(empty) == (reading.followed < 0).sum() and empty["valence"].isna().all()
    assert (table.loc[table["followed"], "valence"] == np.float32(0.3)).all() and table["time"].is_monotonic_increasing


def test_a_video_without_faces_has_an_empty_timeline_and_a_figure(tmp_path):
    path = write(tmp_path / "wall.mp4", [np.full((96, 128, 3), 120, np.uint8)] * 12)
    reading = read_video(path, predict=constant, thresholds=(0.5,) * 12)
    assert reading.prediction is None and np.isnan(reading.timeline().expression).all()
    assert (reading.table()["face"] == 0).all()
    assert video_timeline(reading).axes


def test_the_timeline_figure_breaks_its_lines_at_cuts(reading):
    figure = video_timeline(reading, sigma=0.3, source="synthetic")
    lines = [line for axes in figure.axes for line in axes.get_lines() if line.get_label() == "valence"]
    times, values = lines[0].get_data()
    assert np.isnan(values[np.flatnonzero(np.isclose(times, 2.0))[0]])
    assert figure._suptitle is None and any("clip.mp4" in text.get_text() for text in figure.texts)


def test_overlap_of_boxes():
    assert overlap(np.array([0, 0, 2, 2]), np.array([0, 0, 2, 2])) == 1
    assert overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 2, 2])) == pytest.approx(1 / 3)
    assert overlap(np.array([0, 0, 2, 2]), np.array([5, 5, 2, 2])) == 0


def at(x, y, side=10):
    return Face(np.array([x, y, side, side], float), np.zeros((5, 2)), 1.0)


def test_the_larger_of_two_is_followed_though_their_order_changes():
    faces = [[at(0, 0, 10), at(50, 0, 20)], [at(48, 0, 20), at(90, 0, 10)], [at(0, 0, 10)], [at(46, 0, 20)]]
    assert follow(faces, np.zeros(4, int)).tolist() == [1, 2, -1, 5]


def test_after_a_cut_another_face_may_be_followed_and_faces_do_not_jump():
    faces = [[at(0, 0)], [at(100, 0)], [at(200, 0)]]
    assert follow(faces, np.array([0, 1, 1])).tolist() == [0, 1, -1], "a far box is another face"
    assert follow([[], []], np.zeros(2, int)).tolist() == [-1, -1]


def test_stretches_end_at_cuts_and_at_long_gaps():
    times, known = np.arange(8) / 5, np.array([1, 1, 0, 1, 0, 0, 0, 1], bool)
    assert stretches(times, known, np.zeros(8, int), longest_gap=0.5).tolist() == [0, 0, -1, 0, -1, -1, -1, 1]
    shots = np.array([0, 1, 1, 1, 1, 1, 1, 1])
    assert stretches(times, known, shots, longest_gap=9).tolist() == [0, 1, -1, 1, -1, -1, -1, 1]


def test_smoothing_keeps_constants_and_edges_and_calms_noise():
    rng, times = np.random.default_rng(0), np.arange(200) / 5
    stretch = np.repeat([0, 1], 100)
    step = np.repeat([[0.0], [1.0]], 100, axis=0)
    np.testing.assert_allclose(smooth(step, times, stretch, 0.5), step)
    assert smooth(step, times, np.zeros(200, int), 0.5)[99, 0] > 0.3, "without the cut it leaks"
    noise = rng.normal(size=(200, 1))
    assert smooth(noise, times, stretch, 0.5).std() < 0.6 * noise.std()
    np.testing.assert_array_equal(smooth(noise, times, stretch, 0.0), noise)


def test_smoothing_equals_its_formula_and_leaves_gaps_nan():
    times, stretch = np.array([0.0, 0.3, 0.4, 1.0]), np.array([0, 0, -1, 0])
    values = np.array([[1.0], [2.0], [99.0], [4.0]])
    smoothed = smooth(values, times, stretch, 0.2)
    weights = [np.exp(-((0.3 - time) ** 2) / (2 * 0.2**2)) for time in (0.0, 0.3, 1.0)]
    assert smoothed[1, 0] == pytest.approx(np.average([1, 2, 4], weights=weights)) and np.isnan(smoothed[2, 0])
