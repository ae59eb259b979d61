"""The colour of every point of a head, one point at a time: numba functions of canonical millimetres.

Coordinates x (subject's left), y (back) and z (up) are millimetres of the mean face, the origin between the eyes, so
textures move with identity and expression. Colours are linear RGB. Measures of a mean adult face are our own, by eye.
"""

from __future__ import annotations

import math

import numba

from affect_core.synthetic.noise import noise

UPPER_LIP_EDGE, MOUTH_LINE, MOUTH_HALF_WIDTH = -63.5, -73.2, 26.0
"""Canonical millimetres of the mean face's mouth at rest."""


@numba.njit(cache=True, fastmath=True)
def step(low, high, x):
    """Smooth step from 0 at `low` to 1 at `high`; falls when high < low."""
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True)
def bell(x, width):
    """exp(-(x / width)^2), cut to 0 beyond three widths (most points are far from any one feature)."""
    t = (x / width) ** 2
    return math.exp(-t) if t < 9.0 else 0.0


@numba.njit(cache=True, fastmath=True)
def mix(a, b, share):
    """Colour a where share is 0, b where it is 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


@numba.njit(cache=True, fastmath=True)
def scaled(colour, factor):
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


@numba.njit(cache=True, fastmath=True)
def skin_colour(tile, skin, x, y, z, ear):
    """Bare skin: slow mottling, blood under cheeks, nose and ears, darker eye sockets, freckles."""
    s = skin.seed
    slow = skin.mottling * noise(tile, x * 0.06 + s, z * 0.06 + y * 0.03 + s, 2)
    fine = 0.5 * skin.mottling * noise(tile, x * 0.5 + s + 90, z * 0.5 + y * 0.4 + 50, 2)
    across = abs(x)
    blood = 0.55 * bell(across - 42, 18) * bell(z + 35, 18) + 0.6 * bell(x, 14) * bell(z + 42, 12) + 0.35 * ear
    blood = skin.redness * blood if y < 110 else 0.0
    dark = 1 - skin.eye_shadow * bell(across - 31, 15) * bell(z + 9, 9)
    if skin.freckles > 0.15 and z > -60 and z < 20:
        spots = step(1.1, 1.9, noise(tile, x * 1.5 + s + 20, z * 1.5 + s + 10, 1))
        dark *= 1 - 0.32 * skin.freckles * spots * bell(z + 22, 26)
    return (skin.colour[0] * dark * (1 + 0.7 * slow + fine + 0.06 * blood),
            skin.colour[1] * dark * (1 + slow + fine - 0.30 * blood),
            skin.colour[2] * dark * (1 + 1.1 * slow + fine - 0.26 * blood))  # fmt: skip


@numba.njit(cache=True, fastmath=True)
def brow_cover(tile, brows, seed, x, y, z):
    """Share of the skin that eyebrow hair covers."""
    across = abs(x)
    if z < -2 or z > 40 or y > 25 or across > 66:
        return 0.0
    along = min(1.0, max(0.0, (across - brows.inner) / (brows.outer - brows.inner)))
    centre = 14.5 + brows.height + brows.arch * math.sin(math.pi * min(1.0, along * 0.8 + 0.08)) - 3 * along**3
    half = brows.thickness * (1.1 - 0.7 * along**1.5)
    strands = 0.9 + 0.18 * noise(tile, x * 1.3 + seed, z * 2 + across, 1)
    ends = step(brows.inner - 4, brows.inner + 3, across) * step(brows.outer + 3, brows.outer - 4, across)
    return min(1.0, max(0.0, step(1.5, 0.55, abs(z - centre) / half) * ends * strands * brows.density))


@numba.njit(cache=True, fastmath=True)
def beard_cover(tile, hair, x, z, area, lips):
    """Share of the skin that beard or stubble covers; area: where beards grow, 0 to 1."""
    if hair.beard <= 0 or area <= 0:
        return 0.0
    if hair.moustache < 0.5:
        area *= step(-80, -90, z) if abs(x) < 34 else 1.0
    strands = 0.85 + 0.13 * noise(tile, x * 0.9 + 50, z * 0.35 + 70, 2)
    full = strands if hair.beard > 0.45 else 0.75
    return min(0.95, max(0.0, area * (1 - min(1.0, 2 * lips)) * hair.beard * full))


@numba.njit(cache=True, fastmath=True)
def moustache_cover(tile, moustache, x, y, z):
    """Share of skin and upper lip that a moustache of its own covers; it moves with the lip beneath it."""
    across = abs(x)
    if moustache.density <= 0 or across > moustache.half_width or y > 25 or z > -44 or z < -100:
        return 0.0
    along = across / moustache.half_width
    upper = -47 - 10 * along**1.5 - 0.6 * moustache.droop * along**2
    lower = UPPER_LIP_EDGE - moustache.overhang - moustache.droop * along**2
    if across < MOUTH_HALF_WIDTH:
        lower = max(lower, MOUTH_LINE)
    strands = 0.85 + 0.25 * noise(tile, x * 1.1 + 20, z * 0.3 + 10, 2)
    edges = step(upper + 1, upper - 4, z) * step(lower - 1.2, lower + 1.2, z) * step(1.0, 0.85, along)
    return min(0.97, max(0.0, edges * strands * moustache.density))


@numba.njit(cache=True, fastmath=True)
def fold_depth(tile, skin, creases, x, y, z):
    """(darkness, slope) of skin folds: darkness 0 to 1; slope tilts the normal up or down across forehead lines."""
    if y > 45 or z > 64 or z < -125:
        return 0.0, 0.0
    across = abs(x)
    left = x > 0
    rest = skin.age_folds
    depth, slope = 0.0, 0.0
    if z > 20:  # forehead lines
        raised = (
            min(1.0, creases.forehead_inner * bell(x, 34) + 0.9 * creases.forehead_outer * step(2, 22, across))
            + 0.25 * rest
        )
        phase = (z + 0.002 * x * x + 1.5 * noise(tile, x * 0.03 + skin.seed, z * 0.03, 1)) * (
            2 * math.pi / 9.5
        ) + skin.seed
        where = step(23, 30, z) * step(62, 52, z) * step(58, 40, across) * raised
        depth += max(0.0, math.sin(phase)) ** 3 * where
        slope += math.cos(phase) * where
    if across < 16 and z > -12:  # frown lines and root of the nose
        depth += (
            1.3 * bell(across - 5.5 - 0.08 * (z - 16), 1.6) * bell(z - 16, 9) + 0.4 * bell(z - 6, 2) * bell(x, 7)
        ) * creases.glabella
        depth += creases.nose_root * (bell(z - 3, 1.6) + bell(z + 3, 1.6)) * bell(x, 9)
    if z < -30 and z > -90 and y < 30:  # from nostril to mouth corner
        if z > -55:
            line = 22 + (-z - 45) * 0.6
        elif z > -68:
            line = 28 + (-z - 55) * 0.35
        else:
            line = 32.5
        folded = creases.nasolabial_left if left else creases.nasolabial_right
        depth += bell(across - line, 2.2) * step(-86, -72, z) * step(-32, -42, z) * (0.05 + 0.75 * folded + 0.25 * rest)
        dimpled = creases.dimple_left if left else creases.dimple_right
        depth += 1.3 * dimpled * bell(across - 34 - 0.03 * (z + 73) ** 2, 2.4) * bell(z + 73, 9)
    if z > -25 and z < 25:  # crow's feet and the pouch under the eye
        smiling = creases.crows_feet_left if left else creases.crows_feet_right
        rays = max(0.0, math.sin((z + 0.3 * (across - 50)) * (2 * math.pi / 6.5))) ** 2
        depth += rays * step(49, 54, across) * step(70, 60, across) * bell(z + 2, 11) * (1.1 * smiling + 0.2 * rest)
        depth += (
            bell(z + 14 + 0.003 * (across - 32) ** 2, 1.8) * bell(across - 33, 13) * (0.8 * smiling + 0.2 * rest + 0.04)
        )
    if z < -88 and across < 22:  # dimpled chin under a raised lower lip
        depth += creases.chin * (0.7 * bell(z + 93, 2.2) * bell(x, 13))
        depth += creases.chin * 0.25 * max(0.0, noise(tile, x * 0.35, z * 0.35, 1)) * bell(z + 106, 9) * bell(x, 14)
    return min(1.2, depth) * skin.wrinkles, slope * skin.wrinkles


@numba.njit(cache=True, fastmath=True)
def strand_pattern(tile, hair, x, y, z, seed, draped):
    """Brightness variation of strands, zero mean and about unit deviation: across straight hair, all over curls."""
    if draped:
        across = x
    else:
        part = x - hair.parting * step(70, 20, abs(x - hair.parting))
        across = math.atan2(part, y - 70 + 1e-3) * 70
    straight = noise(tile, across * 1.1 + seed, z * 0.06 + y * 0.05 + seed, 2)
    if hair.curl < 0.15:
        return straight
    curled = noise(tile, x * 0.5 + seed, z * 0.5 + y * 0.4, 2)
    return straight * (1 - hair.curl) + 0.7 * curled * hair.curl


@numba.njit(cache=True, fastmath=True)
def hair_cover(tile, hair, x, y, z, height, ear, seed):
    """Share of the scalp that hair covers; height: mm above the mean hairline."""
    if hair.fringe == 0 and height < hair.hairline - 14:
        return 0.0
    across = abs(x)
    temple = bell(across - 44, 16) * step(60, 20, y)
    above = height - hair.hairline - hair.recession * temple
    above += 0.8 * noise(tile, x * 0.8 + 20 + seed, z * 0.15 + y * 0.15, 1) + 1.8 * noise(
        tile, x * 0.09 + seed, y * 0.09, 1
    )
    reach = 14.0 if hair.top > 2.5 else 18.0
    cover = step(-4.0, reach, above) * hair.density
    if hair.fringe > 0 and y < 45:
        edge = hair.fringe_edge + hair.fringe_slant * x + 3.0 * noise(tile, x * 0.22 + seed, 3.0, 2)
        cover = max(cover, hair.fringe * step(-1.0, 5.0, z - edge) * step(72, 58, across))
    return cover * (1 - min(1.0, 2 * ear))


@numba.njit(cache=True, fastmath=True)
def garment_cover(outfit, x, y, z):
    """1 on clothes, 0 on skin: below a neckline that is lower in front."""
    if z > -100:
        return 0.0
    line = -146 + 0.45 * (y - 90) - outfit.neckline * bell(x, 28) * step(110, 60, y)
    return step(1.2, -1.2, z - line)


@numba.njit(cache=True, fastmath=True)
def iris_colour(tile, eyes, angle, right, up, seed):
    """Eyeball at `angle` radians from the gaze; right, up: offset from the gaze axis."""
    veins = 0.05 * max(0.0, noise(tile, right * 30 + seed, up * 30, 1))
    white = (0.62 * eyes.sclera, (0.59 - veins) * eyes.sclera, (0.56 - veins) * eyes.sclera)
    fibres = 1 + 0.3 * noise(tile, math.atan2(up, right) * 9 + seed, angle * 20, 1)
    limbus = 0.5 + 0.5 * step(eyes.iris_radius, eyes.iris_radius - 0.16, angle)
    iris = scaled(eyes.iris, max(0.3, fibres) * limbus)
    colour = mix(white, iris, step(eyes.iris_radius + 0.05, eyes.iris_radius - 0.05, angle))
    return mix(colour, (0.008, 0.008, 0.008), step(0.24, 0.17, angle))
