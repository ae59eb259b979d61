"""An explorer in real JupyterLab: `pytest -m browser` (needs Chromium; not part of `make test`)."""

import importlib.util

import pytest
from jupyterlab_browser import chromium, open_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("websocket") is None, reason="websocket-client is not installed"),
]

PIXELS = """(() => {
    const image = document.querySelector("img.widget-image");
    if (!image || !image.complete || !image.naturalWidth) return "";
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
})()"""


def slider(name):
    return f"[...document.querySelectorAll('.widget-slider')].find(one => one.textContent.includes({name!r}))"


def click(name):
    return f"[...document.querySelectorAll('button')].find(one => one.textContent.trim() === {name!r}).click()"


def test_a_slider_a_preset_and_play_move_the_mixer_in_jupyterlab(tmp_path):
    cells = ["from affect_core import explorers", "explorers.play(explorers.action_unit_mixer)"]
    with open_notebook(tmp_path, cells) as (page, log):
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        first = page.wait_for(PIXELS)
        page.screenshot(tmp_path / "1-opened.png")

        handle = f"{slider('AU12')}.querySelector('.noUi-handle')"
        page.evaluate(f"{handle}.scrollIntoView({{block: 'center'}})")
        place = page.evaluate(f"(() => {{const r = {handle}.getBoundingClientRect(); return [r.x + r.width / 2, r.y + "
                              "r.height / 2];})()")  # fmt: skip
        page.drag(*place, -80)
        moved = page.wait_for(f"(value => value !== {first!r} && value)({PIXELS})")
        assert page.evaluate(f"parseFloat({slider('AU12')}.querySelector('.widget-readout').textContent)") < 0.7

        page.evaluate(click("anger"))
        angry = page.wait_for(f"(value => value !== {moved!r} && value)({PIXELS})")
        page.evaluate("document.querySelector('.widget-play button').click()")
        page.wait_for(f"(value => value !== {angry!r} && value)({PIXELS})")
        page.wait_for(f"{slider('intensity')}.querySelector('.widget-readout').textContent === '1.00' && "
                      f"{PIXELS} === {angry!r}")  # fmt: skip
        page.evaluate("document.querySelector('img.widget-image').scrollIntoView({block: 'center'})")
        page.screenshot(tmp_path / "2-played.png")
        assert page.evaluate("document.querySelectorAll('.jp-OutputArea-output[data-mime-type*=stderr]').length") == 0
        assert page.errors == []
        text = log.read_text(errors="replace")
        assert "Traceback" not in text and "[E " not in text
