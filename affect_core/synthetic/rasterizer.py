"""Triangles to pixels: a z-buffer, an orthographic depth map and vertex normals, as small numba kernels.

Kernels are compiled on first use and cached beside the source; `renderer.warm_up` compiles them all once, before
worker processes are started. One thread each: parallelism is over images.
"""

from __future__ import annotations

import math

import numba
import numpy as np

EMPTY = -1
"""Value of `triangle_index` where no triangle covers the pixel centre."""


@numba.njit(cache=True, fastmath=True)
def rasterize(points, triangles, depth, triangle_index, barycentric):
    """Draw triangles into a z-buffer, nearest first; results are written into the last three arguments.

    points          (V, 3) float32: x and y in pixels (pixel centres at .5), third column grows towards the viewer
                    and is linear on the screen (1 / distance for a perspective camera, -distance for a parallel one)
    triangles       (T, 3) int32
    depth           (H, W) float32, the third column at each pixel; -1e9 where empty
    triangle_index  (H, W) int32, EMPTY where empty
    barycentric     (H, W, 2) float32, screen-space weights of the first two corners
    """
    height, width = depth.shape
    depth[:] = -1e9
    triangle_index[:] = EMPTY
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0 = points[i, 0], points[i, 1]
        x1, y1 = points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        doubled_area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(doubled_area) < 1e-12:
            continue
        left = max(0, int(math.ceil(min(x0, x1, x2) - 0.5)))
        right = min(width - 1, int(math.floor(max(x0, x1, x2) - 0.5)))
        top = max(0, int(math.ceil(min(y0, y1, y2) - 0.5)))
        bottom = min(height - 1, int(math.floor(max(y0, y1, y2) - 0.5)))
        if left > right or top > bottom:
            continue
        scale = 1 / doubled_area
        w0_per_x, w0_per_y = (y1 - y2) * scale, (x2 - x1) * scale
        w1_per_x, w1_per_y = (y2 - y0) * scale, (x0 - x2) * scale
        near2 = points[k, 2]
        near0, near1 = points[i, 2] - near2, points[j, 2] - near2
        for row in range(top, bottom + 1):
            dx, dy = left + 0.5 - x2, row + 0.5 - y2
            w0 = w0_per_x * dx + w0_per_y * dy - w0_per_x
            w1 = w1_per_x * dx + w1_per_y * dy - w1_per_x
            for column in range(left, right + 1):
                w0 += w0_per_x
                w1 += w1_per_x
                if w0 < -1e-5 or w1 < -1e-5 or w0 + w1 > 1 + 1e-5:
                    continue
                nearness = near2 + w0 * near0 + w1 * near1
                if nearness > depth[row, column]:
                    depth[row, column] = nearness
                    triangle_index[row, column] = t
                    barycentric[row, column, 0] = w0
                    barycentric[row, column, 1] = w1


@numba.njit(cache=True, fastmath=True)
def vertex_normals(vertices, triangles):
    """(V, 3) unit normals, area-weighted over the triangles (T, 3) around each vertex; zero for loose vertices."""
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in range(3):
            v = triangles[t, corner]
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(vertices.shape[0]):
        length = math.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 1e-12:
            for c in range(3):
                normals[v, c] /= length
    return normals


def screen_buffers(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uninitialised (depth, triangle_index, barycentric) for `rasterize`."""
    return (np.empty((height, width), np.float32), np.empty((height, width), np.int32),
            np.empty((height, width, 2), np.float32))  # fmt: skip


def parallel_depth_map(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray, size: int):
    """What a distant viewer (or lamp) in `direction` sees: (depth, coordinates).

    vertices (V, 3) in metres; direction (3,) unit vector from the object towards the viewer.
    Returns depth (size, size) float32, metres along `direction`, -1e9 where empty, and `coordinates` (3, 4), which
    maps homogeneous (x, y, z, 1) to (column, row, depth).
    """
    up = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.95 else np.array([0.0, 1.0, 0.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(direction, right), direction]).astype(np.float32)
    rotated = vertices @ axes.T  # (V, 3)
    low = rotated[:, :2].min(0)
    scale = (size - 2) / float((rotated[:, :2].max(0) - low).max())
    points = rotated.copy()
    points[:, :2] = (rotated[:, :2] - low) * scale + 1
    depth, triangle_index, barycentric = screen_buffers(size, size)
    rasterize(points, triangles, depth, triangle_index, barycentric)
    coordinates = np.zeros((3, 4), np.float32)
    coordinates[:, :3] = axes * np.array([[scale], [scale], [1.0]], np.float32)
    coordinates[:2, 3] = 1 - low * scale
    return depth, coordinates
