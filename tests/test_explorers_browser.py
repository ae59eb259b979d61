"""The explorers in real JupyterLab: `pytest -m browser` (needs Chromium; not part of `make test`).

AFFECT_SCREENSHOTS=folder keeps the screenshots there, named after their tests.
"""

import importlib.util
import os
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from jupyterlab_browser import PANEL, chromium, open_notebook

from affect_core.explorers.shell import DPI

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("websocket") is None, reason="websocket-client is not installed"),
]

@pytest.fixture
def shot(request, tmp_path):
    """shot(page, "1-opened") keeps a screenshot: in AFFECT_SCREENSHOTS if that is set, else with the test's files."""
    folder = Path(os.environ.get("AFFECT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    test = re.sub(r"\W+", "-", request.node.name.removeprefix("test_")).strip("-")
    return lambda page, name: page.screenshot(folder / f"{test}-{name}.png")


PICTURE = """(() => {
    const image = document.querySelector("img.widget-image");
    if (!image || !image.complete || !image.naturalWidth) return "";
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return "picture " + [...canvas.toDataURL()].reduce((sum, letter) => (31 * sum + letter.charCodeAt(0)) | 0, 0);
})()"""
"""A fingerprint of the picture on the screen, in JavaScript."""


def slider(name):
    return f"[...document.querySelectorAll('.widget-slider')].find(one => one.textContent.includes({name!r}))"


def readout(name):
    return f"{slider(name)}.querySelector('.widget-readout').textContent"


def settled(page):
    """The picture's fingerprint once the kernel is idle and the picture stays as it is."""
    previous = None
    while True:
        page.wait_for(f"{PANEL}.sessionContext.session.kernel.status === 'idle'")
        picture = page.wait_for(PICTURE)
        if picture == previous:
            return picture
        previous = picture
        time.sleep(1.5)


SETUP = """
import numpy as np, pandas as pd, torch
from affect_core import explorers, AffectLabels
from affect_core.augment import prepare
from affect_core.shipped import shipped_model
from affect_core.synthetic.expressions import draw_display
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene
from affect_core.project_folders import project_root
rng, names = np.random.default_rng(0), ["happiness", "anger", "surprise", "sadness"] * 5
pixels = np.stack([render(sample_person(rng, "abaw"), draw_display(rng, name, 1.0).action_units,
                          sample_scene(rng, "clean"), size=64) for name in names])
faces = prepare(torch.from_numpy(pixels), 64)
"""

ERRORS = """
emma = shipped_model("emma").eval()
with torch.no_grad():
    prediction = emma(faces).map(lambda tensor: tensor.numpy())
labels = AffectLabels.missing(len(names))
labels.expression[:] = [prediction.vocabulary.index(name) for name in names]
labels.expression_valid[:] = True
explorers.play(explorers.error_browser, prediction, labels, pixels, per_page=8, source="synthetic")
"""

ABLATIONS = """
tables = [pd.read_csv(project_root() / "results" / f"{name}.csv") for name in ("settings", "differences", "cells")]
explorers.play(explorers.ablation_browser, *tables)
"""

WITH_EMMA = 11.2
"""Width of the mixer's card with EMMA's answers, inches; without them it is 9.4."""

OTHERS = {
    "masking_lab": ("explorers.play(explorers.masking_lab, shipped_model('mae').eval(), faces)", "mask ratio", -40),
    "two_views": ("explorers.play(explorers.two_views, shipped_model('cotex').eval(), faces)", "mask ratio", -40),
    "attention_browser": ("explorers.play(explorers.attention_browser, shipped_model('emma').eval(), faces)", "layer",
                          -60),
    "error_browser": (ERRORS, "page", 60),
    "ablation_browser": (ABLATIONS, "idea", "3 masked views"),
    "ablation_browser, an axis": (ABLATIONS, "x axis", "share of the labels"),
    "ablation_browser, differences": (ABLATIONS, "show", "paired differences"),
    "error_browser, a choice": (ERRORS, "annotated", "anger"),
    "attention_browser, a choice": ("explorers.play(explorers.attention_browser, shipped_model('emma').eval(), faces)",
                                    "class or action unit", "AU12"),
}  # fmt: skip
"""What is opened, which control is moved, and where to: pixels of a slider, or the words of a choice."""


def choose(page, name, words):
    text = "one.textContent.replaceAll('\u00a0', ' ')"  # ipywidgets writes its choices with hard spaces
    choice = f"[...document.querySelectorAll('.widget-dropdown')].find(one => {text}.startsWith({name!r}))"
    found = page.evaluate(
        f"(() => {{ const select = {choice}.querySelector('select');"
        f"select.selectedIndex = [...select.options].findIndex(one => {text}.includes({words!r}));"
        "select.dispatchEvent(new Event('change', {bubbles: true})); return select.selectedIndex; })()"
    )
    assert found >= 0, f"{name} does not offer {words}"


def move(page, name, pixels):
    before, handle = page.evaluate(readout(name)), f"{slider(name)}.querySelector('.noUi-handle')"
    page.evaluate(f"{handle}.scrollIntoView({{block: 'center'}})")
    box = page.evaluate(f"{handle}.getBoundingClientRect().toJSON()")
    page.drag(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, pixels)
    page.wait_for(f"{readout(name)} !== {before!r}")


def no_errors(page, log):
    assert page.evaluate("document.querySelectorAll('.jp-OutputArea-output[data-mime-type*=stderr]').length") == 0
    assert page.errors == []
    text = log.read_text(errors="replace")
    assert "Traceback" not in text and "[E " not in text


@pytest.mark.parametrize("name", OTHERS)
def test_a_control_changes_the_picture_of_every_explorer(name, tmp_path, shot):
    cell, control, change = OTHERS[name]
    with open_notebook(tmp_path, [SETUP, cell]) as (page, log):
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        first = settled(page)
        shot(page, "1-opened")
        if isinstance(change, str):
            choose(page, control, change)
        else:
            move(page, control, change)
        page.wait_for(f"{PICTURE} !== {first!r}")
        assert settled(page) != first
        page.evaluate("document.querySelector('img.widget-image').scrollIntoView({block: 'center'})")
        shot(page, "2-moved")
        no_errors(page, log)


def test_photos_are_uploaded_and_their_faces_shown(tmp_path, shot):
    from affect_core.synthetic.group_photo import group_photo

    photo = group_photo(np.random.default_rng(3), ["happiness", "anger", "surprise"], height=360)
    cv2.imwrite(str(tmp_path / "three.png"), photo.pixels[..., ::-1])
    (tmp_path / "notes.png").write_text("no picture")
    cells = ["from affect_core import explorers", "explorers.play(explorers.photo_browser)"]
    with open_notebook(tmp_path, cells) as (page, log):
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        page.wait_for("document.body.textContent.includes('Upload one or more photos of faces.')")
        page.upload(".widget-upload", [tmp_path / "three.png", tmp_path / "notes.png"])
        first = settled(page)
        shot(page, "1-uploaded")
        assert page.evaluate("document.body.textContent.includes('notes.png')"), "what could not be read is said"
        move(page, "face", 60)
        choose(page, "show", "card")
        page.wait_for(f"{PICTURE} !== {first!r}")
        settled(page)
        shot(page, "2-card")
        no_errors(page, log)


def test_a_slider_a_preset_and_play_move_the_mixer_in_jupyterlab(tmp_path, shot):
    cells = ["from affect_core import explorers\nfrom affect_core.shipped import shipped_model",
             "explorers.play(explorers.action_unit_mixer, shipped_model('emma').eval())"]  # fmt: skip
    with open_notebook(tmp_path, cells) as (page, log):
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        first = settled(page)
        shot(page, "1-opened")
        width = page.evaluate("document.querySelector('img.widget-image').naturalWidth")
        assert width == int(WITH_EMMA * DPI), "the card with what EMMA reads, not that of the face alone"

        handle = f"{slider('AU12')}.querySelector('.noUi-handle')"
        page.evaluate(f"{handle}.scrollIntoView({{block: 'center'}})")
        box = page.evaluate(f"{handle}.getBoundingClientRect().toJSON()")
        page.drag(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, -80)
        page.wait_for(f"parseFloat({readout('AU12')}) < 0.7")
        moved = settled(page)
        assert moved != first

        buttons = "[...document.querySelectorAll('button')]"
        page.evaluate(f"{buttons}.find(one => one.textContent.trim() === 'anger').click()")
        page.wait_for(f"{readout('AU4')} === '0.95'")
        angry = settled(page)
        assert angry not in (first, moved)

        page.evaluate("document.querySelector('.widget-play button').click()")
        page.wait_for(f"{PICTURE} !== {angry!r}")
        page.wait_for(f"{readout('intensity')} === '1.00'")
        assert settled(page) == angry, "play ends at the apex"
        page.evaluate("document.querySelector('img.widget-image').scrollIntoView({block: 'center'})")
        shot(page, "2-played")

        no_errors(page, log)
