"""From layers to a photograph: paint the board, warp it, light it, blur it, add noise."""

from __future__ import annotations

import cv2
import numpy as np

from .copper import Layers
from .look import Look
from .types import F32, F64, U8


def camera(look: Look, canvas: tuple[int, int], image: tuple[int, int]) -> F64:
    """Homography float64 [3, 3] from canvas px to image px; sizes are (width, height).

    A board that is to fill the picture gets its tilt halved until it covers every corner.
    """
    width, height = image
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float) / 2
    source = (corners + 0.5) * np.array(canvas)
    strength = 1.0
    for _ in range(8):
        angle = look.rotation_rad * strength
        spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        target = (corners * canvas) @ spin.T + np.array([width, height]) / 2
        target = target + look.perspective * strength * np.array([width, height])
        matrix: F64 = cv2.getPerspectiveTransform(
            source.astype(np.float32), target.astype(np.float32)
        ).astype(np.float64)
        if look.full_board:
            return matrix
        view = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        seen = cv2.perspectiveTransform(view[:, None], np.linalg.inv(matrix))[:, 0]
        if (seen >= 1).all() and (seen <= np.array(canvas) - 2).all():
            return matrix
        strength /= 2
    return matrix


def paint(layers: Layers, look: Look, texture: F32) -> U8:
    """The board as seen from straight above, uint8 [rows, cols, 3] BGR.

    texture: float32 [rows, cols] around 1; the unevenness of mask and metal.
    """
    board = _ramp(layers.copper, look.laminate, look.copper)
    if look.relief:
        # Copper stands proud of the laminate, so its edges catch the light on one side.
        soft = cv2.GaussianBlur(layers.copper, (0, 0), 0.5 * layers.scale)
        kernel = np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], np.float32) * look.relief
        slope = cv2.filter2D(soft, cv2.CV_16S, kernel)
        board = np.asarray(cv2.add(board, cv2.merge([slope] * 3), dtype=cv2.CV_8U), np.uint8)
    _blend(board, layers.opening, look.opening)
    _blend(board, layers.exposed, look.finish)
    _blend(board, layers.silk, look.silk * 0.97)
    board = np.asarray(cv2.multiply(board, cv2.merge([texture] * 3), dtype=cv2.CV_8U), np.uint8)
    _blend(board, layers.drill, look.hole)
    return board


def photograph(
    board: U8,
    look: Look,
    matrix: F64,
    image: tuple[int, int],
    rng: np.random.Generator,
    clean: bool,
) -> U8:
    """Warp, light, blur and sample the board, uint8 [height, width, 3] BGR; image: (width, height).

    clean=True leaves out blur and noise: tests compare a board with and without defects.
    """
    width, height = image
    unit = max(image) / 640.0
    if look.full_board:
        scene = _backdrop(look, image, rng)
        _shadow(scene, board.shape, matrix, unit)
        cv2.warpPerspective(board, matrix, image, scene, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    else:
        scene = np.asarray(
            cv2.warpPerspective(board, matrix, image, flags=cv2.INTER_LINEAR), np.uint8
        )
    _dirt(scene, look, unit, rng)
    out = cv2.multiply(scene, _light(look, image), dtype=cv2.CV_32F)
    x, y, radius, strength = look.glare
    if strength:
        glow = _bump(image, x * width, y * height, radius * max(image)) * strength
        out = cv2.add(out, cv2.merge([glow] * 3))
    if clean:
        return np.clip(out, 0, 255).astype(np.uint8)
    if look.defocus * unit > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), look.defocus * unit)
    if max(map(abs, look.motion)) > 0:
        out = cv2.filter2D(out, -1, _motion_kernel(look.motion, unit))
    grain = rng.standard_normal((height, width), np.float32) * np.float32(look.noise * 0.8)
    small = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), np.float32)
    chroma = cv2.resize(small * np.float32(look.noise * 0.7), image, interpolation=cv2.INTER_LINEAR)
    out = cv2.add(cv2.add(out, cv2.merge([grain] * 3)), chroma)
    return np.clip(out, 0, 255).astype(np.uint8)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, amount: float
) -> F32:
    """Low-frequency noise, float32 [rows, cols], standard deviation about `amount`."""
    rows, cols = shape
    size = (max(2, int(rows / cell_px)), max(2, int(cols / cell_px)))
    coarse = rng.standard_normal(size, np.float32) * np.float32(amount)
    grown: F32 = cv2.resize(coarse, (cols, rows), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return grown


def _ramp(layer: U8, low: F64, high: F64) -> U8:
    """A layer as colour: coverage 0 gives `low`, 255 gives `high`."""
    t = np.linspace(0, 1, 256)[:, None]
    table = np.round(low * (1 - t) + high * t).astype(np.uint8).reshape(256, 1, 3)
    return cv2.applyColorMap(layer, table).astype(np.uint8, copy=False)


def _blend(board: U8, layer: U8, color: F64) -> None:
    """Paint `color` through `layer`, in place."""
    flat = board.reshape(-1, 3)
    at = np.flatnonzero(layer)
    weight = layer.reshape(-1)[at, None].astype(np.float32) / np.float32(255)
    flat[at] = np.round(flat[at] * (1 - weight) + color.astype(np.float32) * weight)


def _backdrop(look: Look, image: tuple[int, int], rng: np.random.Generator) -> U8:
    shape = (image[1], image[0])
    grey = smooth_noise(rng, shape, max(image) / 12, 12.0)
    grey += smooth_noise(rng, shape, max(image) / 320, 8.0)
    levels = cv2.convertScaleAbs(grey, alpha=1.0, beta=128.0).astype(np.uint8, copy=False)
    return _ramp(levels, look.background * 0.55, np.minimum(look.background * 1.45, 255))


def _shadow(scene: U8, board_shape: tuple[int, ...], matrix: F64, unit: float) -> None:
    rows, cols = board_shape[:2]
    corners = np.array([[0, 0], [cols, 0], [cols, rows], [0, rows]], float)
    outline = cv2.perspectiveTransform(corners[:, None], matrix) + 2.5 * unit
    shade = np.zeros(scene.shape[:2], np.uint8)
    cv2.fillPoly(shade, [np.round(outline).astype(np.int32)], (110,))
    size = 2 * round(4 * unit) + 1
    light = cv2.bitwise_not(cv2.blur(shade, (size, size)))
    scene[:] = cv2.multiply(scene, cv2.merge([light] * 3), scale=1 / 255)


def _dirt(scene: U8, look: Look, unit: float, rng: np.random.Generator) -> None:
    """Specks, hairs and scratches, far thinner than any trace, so that none looks like a defect."""
    height, width = scene.shape[:2]
    for shade in (np.full(3, 225.0), np.full(3, 45.0)):
        layer = np.zeros((height, width), np.uint8)
        for _ in range(int(rng.poisson(look.dirt))):
            x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
            strength, kind = int(rng.integers(50, 170)), float(rng.random())
            if kind < 0.7:
                at = (round(x * 16), round(y * 16))
                radius = round(float(rng.uniform(0.3, 0.9)) * unit * 16)
                cv2.circle(layer, at, radius, (strength,), -1, cv2.LINE_AA, 4)
                continue
            # A hair bends, a scratch does not.
            steps, bend = np.linspace(0, 1, 12), float(rng.uniform(-2, 2)) if kind < 0.85 else 0.0
            angle = float(rng.uniform(0, 2 * np.pi)) + bend * steps
            reach = float(rng.uniform(10, 45)) * unit / 12
            points = np.stack(
                [x + np.cumsum(np.cos(angle)) * reach, y + np.cumsum(np.sin(angle)) * reach], 1
            )
            fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
            thickness = max(1, round(0.5 * unit))
            cv2.polylines(layer, [fixed], False, (strength // 2,), thickness, cv2.LINE_AA, 4)
        _blend(scene, layer, shade)


def _light(look: Look, image: tuple[int, int]) -> F32:
    width, height = image
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    tilt_x, tilt_y = (np.float32(v) for v in look.light_tilt)
    gain = 1 + tilt_x * x + tilt_y * y - np.float32(look.vignette / 2) * (x * x + y * y)
    light: F32 = cv2.merge([gain * np.float32(g) for g in look.gain]).astype(np.float32, copy=False)
    return light


def _bump(image: tuple[int, int], x: float, y: float, radius: float) -> F32:
    across = np.exp(-(((np.arange(image[0]) - x) / radius) ** 2)).astype(np.float32)
    down = np.exp(-(((np.arange(image[1]) - y) / radius) ** 2)).astype(np.float32)
    bump: F32 = np.outer(down, across)
    return bump


def _motion_kernel(motion: tuple[float, float], unit: float) -> F32:
    reach = max(1, int(np.ceil(max(map(abs, motion)) * unit / 2)))
    kernel = np.zeros((2 * reach + 1,) * 2, np.uint8)
    half = np.array(motion) * unit / 2
    start, end = (
        np.round((reach - half) * 16).astype(int),
        np.round((reach + half) * 16).astype(int),
    )
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), (255,), 1, cv2.LINE_AA, 4)
    total = np.float32(max(1, int(kernel.sum())))
    blurred: F32 = kernel.astype(np.float32) / total
    return blurred
