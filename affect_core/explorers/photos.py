"""Your photos: upload some, choose a photo and a face, and see its card. Nothing leaves the machine."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, choice, whole_slider
from affect_core.photos.reading import PhotoReading, read_photos
from affect_core.photos.showing import face_card, photo_overview

VIEWS = ("photo", "card")


@dataclass(frozen=True)
class PhotoState:
    """photo: its place in the reading, from 0. face: its number in the photo, from 1, left to right.

    view  "photo": the whole picture with boxes around its faces; "card": what the model says about the chosen face.
    """

    photo: int = 0
    face: int = 1
    view: str = "photo"


def photo_figure(state: PhotoState, reading: PhotoReading, *, source: str = "") -> Figure:
    """The chosen photo with its faces, or the card of the chosen face.

    Raises AffectError for a photo or face that is not there, and with the photo's remark if it has no face or could
    not be read: the sentence is what a user should see in place of a picture.

    >>> photo_figure(PhotoState(photo=0, face=2, view="card"), read_photos("group.jpg"))
    <Figure size ...>
    """
    if not 0 <= state.photo < len(reading.photos):
        raise AffectError(f"There are {len(reading.photos)} photos, counted from 0; there is no photo {state.photo}.")
    if state.view not in VIEWS:
        raise AffectError(f"view is {' or '.join(VIEWS)}, not {state.view!r}.")
    photo = reading.photos[state.photo]
    if not photo.faces:
        raise AffectError(f"{photo.name}: {photo.remark}.")
    if not 1 <= state.face <= len(photo.faces):
        raise AffectError(f"{photo.name} shows {len(photo.faces)} faces, counted from 1, and no face {state.face}.")
    if state.view == "card":
        return face_card(reading, reading.rows(state.photo)[state.face - 1], source=source)
    return photo_overview(reading, state.photo, chosen=state.face - 1, source=source)


def photo_browser(
    reading: PhotoReading | None = None, *, source: str = "", read: Callable[[Any], PhotoReading] = read_photos
) -> Explorer:
    """`photo_figure` with an upload button and a control for every field of `PhotoState`.

    reading  photos to begin with, or None to begin with the upload.   read  uploads -> PhotoReading
    Remarks about files (unreadable, no face) stand in `files`, a widgets.HTML under the controls.
    """
    shelf = {"reading": reading}
    upload = widgets.FileUpload(accept="image/*", multiple=True, description="your photos", layout={"width": "140px"})
    files = widgets.HTML()
    controls = {
        "photo": choice([("none yet", 0)], 0, "photo"),
        "face": whole_slider(1, 1, 1, "face"),
        "view": choice(VIEWS, "photo", "show"),
    }

    def draw(**values) -> Figure:
        if shelf["reading"] is None:
            raise AffectError("Upload one or more photos of faces.")
        return photo_figure(PhotoState(**values), shelf["reading"], source=source)

    explorer = Explorer(controls, draw, rows=[[upload, *controls.values()], [files]])

    def set_faces(_=None) -> None:
        count = len(shelf["reading"].photos[controls["photo"].value].faces) if shelf["reading"] else 1
        controls["face"].value = 1
        controls["face"].max = max(1, count)

    def show_reading(new: PhotoReading) -> None:
        with explorer.one_redraw():
            shelf["reading"] = new
            controls["photo"].options = [(photo.name, place) for place, photo in enumerate(new.photos)]
            controls["photo"].value = 0
            set_faces()
            remarks = [f"{photo.name}: {photo.remark}" for photo in new.photos if photo.remark]
            files.value = "<br>".join(map(html.escape, remarks))

    def uploaded(change) -> None:
        if change["new"]:
            try:
                show_reading(read(change["new"]))
            except AffectError as error:
                files.value = html.escape(str(error))

    controls["photo"].observe(set_faces, "value")
    upload.observe(uploaded, "value")
    explorer.upload, explorer.files = upload, files
    if reading is not None:
        show_reading(reading)
    return explorer
