"""Light on a rasterised head: one numba kernel from triangles and attributes to linear RGB.

Diffuse key light with a shadow map and light that wraps around skin (a cheap stand-in for subsurface scattering),
ambient light that varies linearly with the normal times baked occlusion, a Blinn highlight, strand highlights on hair
after Kajiya and Kay 1989.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from affect_core.synthetic.appearance import (
    beard_cover,
    bell,
    brow_cover,
    fold_depth,
    garment_cover,
    hair_cover,
    iris_colour,
    mix,
    moustache_cover,
    scaled,
    skin_colour,
    step,
    strand_pattern,
)
from affect_core.synthetic.noise import noise

# columns of the per-vertex attributes that the rasteriser interpolates
NORMAL, POSITION, CANONICAL, HEIGHT, BEARD, LIPS, INNER_MOUTH, EYELID, EAR, OCCLUSION, CAVITY = (
    0,
    3,
    6,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
)
ATTRIBUTES = 17

SKIN, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE, DRAPE = 0, 1, 2, 3, 4, 5, 6
"""Part of a triangle: face_model.PARTS, then long hair."""


@numba.njit(cache=True, fastmath=True)
def interpolate(attributes, nearness, triangles, t, w0, w1, out):
    """Perspective-correct attributes of a pixel with screen weights w0, w1 in triangle t; written into `out`."""
    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    a, b, c = w0 * nearness[i], w1 * nearness[j], (1 - w0 - w1) * nearness[k]
    scale = 1 / (a + b + c)
    a, b, c = a * scale, b * scale, c * scale
    for column in range(out.shape[0]):
        out[column] = a * attributes[i, column] + b * attributes[j, column] + c * attributes[k, column]


@numba.njit(cache=True, fastmath=True)
def lit_share(shadow_map, shadow_coordinates, x, y, z):
    """Share of the lamp that reaches a point, by five soft look-ups in the shadow map."""
    size = shadow_map.shape[0]
    m = shadow_coordinates
    column = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
    row = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z
    total = 0.0
    for dx, dy in ((0.0, 0.0), (-0.5, 0.4), (0.1, -0.9), (0.7, 0.9), (-1.3, -0.2)):
        i = min(size - 1, max(0, int(column + dx)))
        j = min(size - 1, max(0, int(row + dy)))
        total += min(1.0, max(0.0, 1 - (shadow_map[j, i] - depth - 0.004) / 0.004))
    return total / 5


@numba.njit(cache=True, fastmath=True)
def shade(image, triangle_index, barycentric, triangles, parts, nearness, attributes, tile, head, eye_frame,
          skin, brows, eyes, lips, hair, moustache, outfit, teeth, creases, light, shadow_map,
          shadow_coordinates):  # fmt: skip
    """Shade every covered pixel of `image` (H, W, 3), linear RGB; returns the mean luminance of bare skin.

    nearness (V,) 1 / distance; attributes (V, ATTRIBUTES) in camera axes; head (3, 3) rotation from head to camera;
    eye_frame (3, 3): centres of left and right eyeball in metres and gaze direction, camera axes.
    """
    a = np.empty(ATTRIBUTES, np.float32)
    lx, ly, lz = light.direction
    hx, hy, hz = lx, ly - 1.0, lz  # half vector towards the camera at -y
    length = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
    hx, hy, hz = hx / length, hy / length, hz / length
    key_grey = (light.key[0] + light.key[1] + light.key[2]) / 3
    sky_grey = (light.ambient[0] + light.ambient[1] + light.ambient[2]) / 3
    luminance, count = 0.0, 0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            t = triangle_index[row, column]
            if t < 0:
                continue
            interpolate(attributes, nearness, triangles, t, barycentric[row, column, 0], barycentric[row, column, 1], a)
            part = parts[t]
            x, y, z = a[CANONICAL], a[CANONICAL + 1], a[CANONICAL + 2]
            nx, ny, nz = a[NORMAL], a[NORMAL + 1], a[NORMAL + 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / length, ny / length, nz / length
            if ny > 0.25:  # the far side of an open surface
                nx, ny, nz = -nx, -ny, -nz
            occlusion, direct = a[OCCLUSION] * 1.1 + 0.05, 1.0
            wrap = (0.10, 0.10, 0.10)
            specular, gloss = 0.02, 18.0
            strands, covered = 0.0, 0.0
            colour = skin.colour
            plain_skin = False

            if part == SKIN and a[INNER_MOUTH] > 0.4:
                colour = (0.28, 0.075, 0.065)
                depth = min(1.0, max(0.0, (y + 30) / 30))
                occlusion = 0.5 * (1 - depth) ** 1.3 * (0.5 + 0.5 * creases.mouth_open)
                direct = 0.2 + 0.3 * creases.mouth_open
            elif part == SKIN:
                wrap = (0.32, 0.17, 0.13)
                colour = skin_colour(tile, skin, x, y, z, a[EAR])
                red = min(1.0, a[LIPS] * 1.2) * (1 - 0.55 * creases.lip_press)
                colour = mix(colour, lips.colour, red * lips.strength)
                specular = skin.shine + lips.gloss * red
                occlusion *= min(1.10, max(0.72, 1 - 0.55 * (a[CAVITY] - 0.05)))
                fold, slope = fold_depth(tile, skin, creases, x, y, z)
                beard = beard_cover(tile, hair, x, z, a[BEARD], a[LIPS])
                colour = mix(colour, hair.beard_colour, beard)
                bristles = moustache_cover(tile, moustache, x, y, z)
                colour = mix(colour, hair.beard_colour, bristles)
                specular *= 1 - bristles
                line = bell(z + 73.2, 2.0) * step(30, 24, abs(x)) * a[LIPS]
                colour = scaled(colour, 1 - 0.5 * creases.lip_press * line)
                colour = mix(colour, brows.colour, brow_cover(tile, brows, skin.seed, x, y, z))
                lash = min(1.0, a[EYELID] * 1.1) * eyes.liner * (0.6 + 0.4 * step(-2, 2, z))
                colour = mix(colour, (0.015, 0.012, 0.01), lash)
                covered = hair_cover(tile, hair, x, y, z, a[HEIGHT], a[EAR], skin.seed)
                fold *= 1 - covered
                colour = scaled(colour, 1 - min(0.55, 0.5 * fold))
                tilt = 0.3 * slope * (1 - covered)
                nx, ny, nz = nx + tilt * head[0, 2], ny + tilt * head[1, 2], nz + tilt * head[2, 2]
                cloth = garment_cover(outfit, x, y, z)
                if cloth > 0:
                    weave = 1 + 0.06 * noise(tile, x * 0.25, z * 0.25, 2)
                    if outfit.stripes > 0.5 and math.sin(z * 0.35) > 0:
                        weave *= 0.55
                    colour, specular = mix(colour, scaled(outfit.garment, weave), cloth), 0.01
                hat = outfit.hat * step(-2.0, 2.0, z - outfit.hat_edge - 0.12 * max(y - 60.0, 0.0))
                if hat > 0:
                    ribs = 0.85 + 0.2 * math.sin(math.atan2(x, y - 75) * 60) * step(26, 22, z - outfit.hat_edge)
                    ribs *= 0.75 if abs(z - outfit.hat_edge - 26) < 1.5 else 1.0
                    colour, covered, specular = (
                        mix(colour, scaled(outfit.hat_colour, ribs), hat),
                        covered * (1 - hat),
                        0.01,
                    )
                plain_skin = covered < 0.2 and cloth < 0.5 and hat < 0.5 and red < 0.5
            elif part == LEFT_EYE or part == RIGHT_EYE:
                which = part - LEFT_EYE
                nx = a[POSITION] - eye_frame[which, 0]
                ny = a[POSITION + 1] - eye_frame[which, 1]
                nz = a[POSITION + 2] - eye_frame[which, 2]
                length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                nx, ny, nz = nx / length, ny / length, nz / length
                along = nx * eye_frame[2, 0] + ny * eye_frame[2, 1] + nz * eye_frame[2, 2]
                angle = math.acos(min(1.0, max(-1.0, along)))
                right, up = nx - eye_frame[2, 0], nz - eye_frame[2, 2]
                colour = iris_colour(tile, eyes, angle, right, up, skin.seed)
                rise = nx * head[0, 2] + ny * head[1, 2] + nz * head[2, 2]
                occlusion = (0.45 + 0.55 * step(0.62, 0.05, rise)) * (0.7 + 0.3 * step(-0.75, -0.3, rise))
                specular, gloss = 0.07, 260.0
            elif part == TONGUE:
                colour = (0.42, 0.16, 0.15)
                occlusion = 0.45 * (1 - min(1.0, max(0.0, (y + 20) / 50)))
                direct = 0.2 + 0.3 * creases.mouth_open
            elif part == DRAPE:
                covered = 1.0
                occlusion = 0.85
            else:  # teeth
                gap = abs((x / 7.2 + 0.5) % 1.0 - 0.5)
                colour = scaled(teeth, 1 - 0.3 * bell(gap - 0.5, 0.06))
                depth = min(1.0, max(0.0, (y + 24) / 30))
                occlusion = (1 - depth) ** 1.2 * (0.9 + 0.1 * creases.mouth_open)
                direct = 0.9
                specular = 0.04

            if covered > 0.01:
                strands = strand_pattern(tile, hair, x, y, z, skin.seed, part == DRAPE)
                tone = min(1.9, max(0.35, 1 + 0.28 * strands + 0.10 * noise(tile, x * 0.05 + skin.seed, z * 0.05, 1)))
                colour = mix(colour, scaled(hair.colour, tone), covered)
                specular *= 1 - covered
                wrap = mix(wrap, (0.25, 0.25, 0.25), covered)
                nx += 0.15 * strands * covered * head[0, 0]
                ny += 0.15 * strands * covered * head[1, 0]
                nz += 0.15 * strands * covered * head[2, 0]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / length, ny / length, nz / length

            shadow = lit_share(shadow_map, shadow_coordinates, a[POSITION], a[POSITION + 1], a[POSITION + 2])
            if part != SKIN and part != DRAPE:
                shadow = 0.4 + 0.6 * shadow
            shadow *= direct
            towards = nx * lx + ny * ly + nz * lz
            occlusion = min(1.15, max(0.0, occlusion))
            reach = shadow * (0.4 + 0.6 * min(1.0, occlusion))
            sky = (1 + nx * light.gradient[0] + ny * light.gradient[1] + nz * light.gradient[2]) * occlusion
            facing, highlight = nx * hx + ny * hy + nz * hz, 0.0
            if facing > 0.7 and shadow > 0:
                highlight = facing**gloss * specular * (1 + 0.12 * gloss) * key_grey * shadow
            rim = 0.3 * max(0.0, 1 - max(0.0, -ny)) ** 4 * specular * sky_grey
            sheen = 0.0
            if covered > 0.01:  # strands run from the crown downwards, in the plane of the surface
                tx, ty, tz = -head[0, 2], -head[1, 2], -head[2, 2]
                dot = tx * nx + ty * ny + tz * nz
                tx, ty, tz = tx - dot * nx, ty - dot * ny, tz - dot * nz
                length = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
                along = (tx * hx + ty * hy + tz * hz) / length + 0.08 * strands
                glint = max(0.0, 1 - along * along) ** 20 * (1 - 0.7 * hair.curl)
                sheen = covered * glint * max(0.0, 0.3 + 0.7 * towards) * shadow * key_grey
            extra = highlight + rim + sheen * 0.02
            for c in range(3):
                diffuse = max(0.0, (towards + wrap[c]) / (1 + wrap[c])) * light.key[c] * reach
                value = colour[c] * (light.ambient[c] * sky + diffuse) + extra + sheen * 0.35 * hair.colour[c]
                image[row, column, c] = value
            if plain_skin:
                luminance += (
                    0.2126 * image[row, column, 0] + 0.7152 * image[row, column, 1] + 0.0722 * image[row, column, 2]
                )
                count += 1
    return luminance / max(1, count)
