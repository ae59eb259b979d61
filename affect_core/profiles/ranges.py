"""Combinations of settings that are each of the right type and cannot work together, found before anything runs."""

from __future__ import annotations

from typing import Any

from affect_core.errors import AffectError
from affect_core.patches import num_visible

SMALLEST_IMAGE = 32
"""Pixels: the CNN's five halvings leave nothing of a smaller image."""


def check_ranges(profile: Any, source: str) -> None:
    """Raises AffectError, naming `source`, section and key, for the first setting of a Profile that is out of range."""
    for section, key, fits, wanted in _rules(profile):
        if not fits:
            value = getattr(getattr(profile, section) if section else profile, key)
            place = f"section [{section}]" if section else "section [images]"
            raise AffectError(f"{source}, {place}: {key} is {value!r}, but must be {wanted}.")
    for section in ("mae", "cotex"):
        try:
            num_visible(profile.vit.num_patches, getattr(profile, section).mask_ratio)
        except AffectError as error:
            raise AffectError(f"{source}, section [{section}]: {error}.") from error


def _rules(p: Any):
    """(section, key, whether it holds, what must hold in words)."""
    yield "", "on_bad_rows", p.on_bad_rows in ("refuse", "list", "skip"), "refuse, list or skip"
    yield "", "store_size", p.store_size >= SMALLEST_IMAGE, f"at least {SMALLEST_IMAGE} pixels"
    yield "vit", "image_size", p.vit.image_size >= SMALLEST_IMAGE, f"at least {SMALLEST_IMAGE} pixels"
    for key in ("patch_size", "width", "depth", "heads", "mlp_ratio"):
        yield "vit", key, getattr(p.vit, key) > 0, "above 0"
    yield "vit", "drop_path", 0 <= p.vit.drop_path < 1, "from 0 to below 1"
    yield "mae", "decoder_heads", p.mae.decoder_heads > 0, "above 0"
    yield "mae", "decoder_depth", p.mae.decoder_depth > 0, "above 0"
    fits = p.mae.decoder_width > 0 and p.mae.decoder_heads > 0 and p.mae.decoder_width % p.mae.decoder_heads == 0
    yield "mae", "decoder_width", fits, f"a multiple of decoder_heads {p.mae.decoder_heads}"
    for key in ("num_classes", "num_heads", "width"):
        yield "prior", key, getattr(p.prior, key, 1) > 0, "above 0"
    for key in ("hidden", "va_hidden"):
        yield "emma", key, getattr(p.emma, key) > 0, "above 0"
    yield "cotex", "js_weight", p.cotex.js_weight >= 0, "0 or more"
    for stage in ("mae", "prior", "emma", "cotex"):
        yield from _training_rules(f"{stage}_training", getattr(p, f"{stage}_training"))
        yield from _augmentation_rules(f"{stage}_augmentation", getattr(p, f"{stage}_augmentation"))


def _training_rules(section: str, t: Any):
    yield section, "base_learning_rate", t.base_learning_rate > 0, "above 0"
    yield section, "minimum_learning_rate", t.minimum_learning_rate >= 0, "0 or more"
    yield section, "weight_decay", t.weight_decay >= 0, "0 or more"
    yield section, "warmup_epochs", 0 <= t.warmup_epochs <= t.epochs, f"between 0 and epochs {t.epochs}"
    yield section, "layer_decay", t.layer_decay is None or 0 < t.layer_decay <= 1, "above 0 and at most 1, or false"
    yield section, "clip_norm", t.clip_norm is None or t.clip_norm > 0, "above 0, or false"
    yield section, "betas", all(0 <= beta < 1 for beta in t.betas), "two numbers from 0 to below 1"
    yield section, "validate_every", t.validate_every >= 1, "at least 1"
    yield section, "ema_decay", t.ema_decay is None or 0 < t.ema_decay < 1, "between 0 and 1"


def _augmentation_rules(section: str, a: Any):
    yield section, "enlarge", a.enlarge >= 1, "at least 1"
    area = a.crop_area
    yield section, "crop_area", area is None or 0 < area[0] <= area[1] <= 1, "two shares of the image, rising, up to 1"
    jitter = all(strength >= 0 for strength in a.jitter) and a.jitter[3] <= 0.5
    yield section, "jitter", jitter, "four numbers of 0 or more, the last (hue) at most 0.5"
    for key in ("jitter_probability", "grayscale_probability"):
        yield section, key, 0 <= getattr(a, key) <= 1, "between 0 and 1"
