"""The photo explorer: its states as figures, the upload, and every error as a sentence. Figures of photographs."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from affect_core.errors import AffectError
from affect_core.explorers import PhotoState, photo_browser, photo_figure
from affect_core.explorers.shell import png
from affect_core.figures import photo_with_faces
from affect_core.figures.style import EXPRESSION_COLOURS
from affect_core.labels import AffectPrediction
from affect_core.photos.detection import Face
from affect_core.photos.reading import NO_FACE, Photo, PhotoReading
from affect_core.photos.showing import face_card


def face(left):
    return Face(np.array([left, 10, 20, 30], float), np.full((5, 2), left + 5.0), 0.99)


@pytest.fixture
def reading():
    """Two faces in the first photo (anger, happiness), none in the second, an unreadable third."""
    picture = np.full((60, 100, 3), 90, np.uint8)
    logits = np.full((2, 8), -9.0)
    logits[0, 1], logits[1, 4] = 0.0, 0.0
    answer = AffectPrediction(logits, np.zeros((2, 12)), np.array([[-0.6, 0.5], [0.8, 0.1]]), np.array([0.25, 0.01]))
    photos = [
        Photo("two.jpg", (200, 120), picture, (face(10), face(60))),
        Photo("wall.jpg", (100, 60), picture, (), NO_FACE),
        Photo("broken.jpg", remark="is truncated"),
    ]
    return PhotoReading(photos, np.zeros((2, 96, 96, 3), np.uint8), answer, np.full(12, 0.5))


def words(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return " ".join([text.get_text() for text in texts] + [axes.get_title(loc="left") for axes in figure.axes])


def test_the_photo_shows_every_face_with_its_number_and_expression(reading):
    figure = photo_figure(PhotoState(), reading, source="synthetic")
    said = words(figure)
    assert "1  anger" in said and "2  happiness" in said and "200 x 120 pixels" in said and "synthetic" in said
    edges = {patch.get_edgecolor() for patch in figure.axes[0].patches}
    from matplotlib.colors import to_rgba

    assert {to_rgba(EXPRESSION_COLOURS["anger"]), to_rgba(EXPRESSION_COLOURS["happiness"])} <= edges


def test_the_card_names_the_face_its_expression_and_its_doubt(reading):
    said = words(photo_figure(PhotoState(face=1, view="card"), reading))
    assert "two.jpg, face 1: anger" in said and "wrong with probability 25%" in said and "valence -0.60" in said


@pytest.mark.parametrize(("state", "message"), [
    (PhotoState(photo=3), "there is no photo 3"),
    (PhotoState(photo=1), "wall.jpg: no face found"),
    (PhotoState(photo=2), "broken.jpg: is truncated"),
    (PhotoState(face=3), "shows 2 faces, counted from 1, and no face 3"),
    (PhotoState(face=0), "no face 0"),
    (PhotoState(view="film"), "view is photo or card"),
])  # fmt: skip
def test_what_cannot_be_shown_is_said(reading, state, message):
    with pytest.raises(AffectError, match=message):
        photo_figure(state, reading)


@pytest.mark.parametrize("name", [r"a$\frac$.jpg", "caf\udce9.jpg"])
def test_a_photo_may_have_any_name(reading, name):
    hostile = replace(reading, photos=[replace(reading.photos[0], name=name)])
    for view in ("photo", "card"):
        figure = photo_figure(PhotoState(view=view), hostile, source=name)
        assert png(figure) and words(figure).count(name.replace("\udce9", "?")) == 2
    browser = photo_browser(hostile)
    assert browser.message.value == ""


def test_the_card_reports_valence_and_arousal_within_their_range(reading):
    beyond = replace(reading.prediction, valence_arousal=np.array([[-1.7, 1.2], [0.8, 0.1]]))
    said = words(face_card(replace(reading, prediction=beyond), 0))
    assert "valence below -1.00, arousal above +1.00" in said


def test_there_is_no_card_of_a_face_that_is_not_there(reading):
    with pytest.raises(AffectError, match="There are 2 faces"):
        face_card(reading, 2)


def test_moving_the_controls_changes_the_picture_or_says_why_not(reading):
    browser = photo_browser(reading)
    before = browser.picture.value
    assert browser.controls["face"].max == 2 and browser.message.value == ""
    browser.controls["view"].value = "card"
    assert browser.picture.value != before
    browser.controls["face"].value = 2
    browser.controls["photo"].value = 1
    assert "no face found" in browser.message.value and browser.picture.layout.visibility == "hidden"
    assert browser.controls["face"].value == 1
    browser.controls["photo"].value = 0
    assert browser.message.value == "" and browser.controls["face"].max == 2


def test_without_photos_the_browser_asks_for_some_and_an_upload_fills_it(reading):
    asked = []

    def read(uploads):
        asked.append([one["name"] for one in uploads])
        return reading

    browser = photo_browser(read=read)
    assert "Upload" in browser.message.value
    browser.upload.value = (upload("two.jpg"),)
    assert asked == [["two.jpg"]] and browser.message.value == "" and len(browser.picture.value) > 1000
    assert "broken.jpg: is truncated" in browser.files.value, "files that could not be used are named"


def test_an_upload_that_cannot_be_read_is_a_sentence():
    browser = photo_browser()
    browser.upload.value = (upload("film.mp4"),)
    assert "no photo to read" in browser.files.value
    browser.upload.value = (upload("text.jpg"),)
    assert "text.jpg: is not an image" in browser.message.value


def upload(name):
    return {"name": name, "type": "", "size": 3, "content": memoryview(b"abc"), "last_modified": datetime.now()}


def test_a_photo_without_faces_or_names_is_a_figure_too():
    picture = np.zeros((40, 60, 3), np.uint8)
    assert "0 faces" in words(photo_with_faces(picture, []))
    assert "1 face" in words(photo_with_faces(picture, [[1, 2, 3, 4]], chosen=0))
