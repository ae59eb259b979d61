"""An explorer in real JupyterLab: `pytest -m browser` (needs Chromium; not part of `make test`)."""

import importlib.util
import time

import pytest
from jupyterlab_browser import PANEL, chromium, open_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("websocket") is None, reason="websocket-client is not installed"),
]

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


def test_a_slider_a_preset_and_play_move_the_mixer_in_jupyterlab(tmp_path):
    cells = ["from affect_core import explorers", "explorers.play(explorers.action_unit_mixer)"]
    with open_notebook(tmp_path, cells) as (page, log):
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        first = settled(page)
        page.screenshot(tmp_path / "1-opened.png")

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
        page.screenshot(tmp_path / "2-played.png")

        assert page.evaluate("document.querySelectorAll('.jp-OutputArea-output[data-mime-type*=stderr]').length") == 0
        assert page.errors == []
        text = log.read_text(errors="replace")
        assert "Traceback" not in text and "[E " not in text
