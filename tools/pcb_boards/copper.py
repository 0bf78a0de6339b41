"""Rasterise a layout into the layers of a real board: copper, mask openings, drills, silkscreen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .types import F64, U8, U16, Label, Layout, Pad

_SHIFT = 4  # cv2 draws with 1/16 px precision
PAD_NET = 30_000
POUR_NET = 60_000


@dataclass
class Layers:
    """Layers of one board, each [rows, cols] in canvas px, uint8 coverage 0..255 but for nets.

    nets is uint16: 0 nothing, a trace's net, PAD_NET + pad index, or POUR_NET.
    scale is canvas px per unit.
    """

    scale: float
    copper: U8
    exposed: U8
    opening: U8
    drill: U8
    silk: U8
    keepout: U8
    nets: U16


def fixed_from_units(points: F64, scale: float) -> npt.NDArray[np.int32]:
    """Fixed-point canvas coordinates, int32 [n, 1, 2], from units float64 [n, 2]."""
    fixed: npt.NDArray[np.int32] = np.round(points * scale * (1 << _SHIFT)).astype(np.int32)
    return fixed.reshape(-1, 1, 2)


def fill_polygon(target: U8, points: F64, scale: float, value: int = 255) -> None:
    """Fill a polygon given in units, anti-aliased."""
    cv2.fillPoly(target, [fixed_from_units(points, scale)], (value,), cv2.LINE_AA, _SHIFT)


def rasterise(layout: Layout, scale: float) -> Layers:
    rows, cols = round(layout.height * scale), round(layout.width * scale)
    copper, exposed, opening, drill, silk, keepout = (
        np.zeros((rows, cols), np.uint8) for _ in range(6)
    )
    nets = np.zeros((rows, cols), np.uint16)
    layers = Layers(scale, copper, exposed, opening, drill, silk, keepout, nets)
    for trace in layout.traces:
        points = fixed_from_units(trace.points, scale)
        thickness = max(1, round(trace.width * scale))
        cv2.polylines(layers.copper, [points], False, (255,), thickness, cv2.LINE_AA, _SHIFT)
        cv2.polylines(layers.nets, [points], False, (trace.net,), thickness, cv2.LINE_8, _SHIFT)
    for i, pad in enumerate(layout.pads):
        draw_pad(layers.copper, pad, scale, 0.0)
        draw_pad(layers.nets, pad, scale, 0.0, PAD_NET + i)
        draw_pad(layers.keepout, pad, scale, 2.5)
        if pad.kind != "via" or not layout.tented_vias:
            draw_pad(layers.exposed, pad, scale, 0.0)
            draw_pad(layers.opening, pad, scale, 1.3)
        if pad.hole:
            draw_hole(layers.drill, pad, scale)
    if layout.pour is not None:
        _draw_pour(layers, layout, layout.pour)
    _draw_silk(layers, layout)
    return layers


def draw_hole(target: U8, pad: Pad, scale: float) -> None:
    centre = fixed_from_units(np.array([[pad.x, pad.y]]), scale)[0, 0]
    radius = round(pad.hole / 2 * scale * (1 << _SHIFT))
    cv2.circle(target, (int(centre[0]), int(centre[1])), radius, (255,), -1, cv2.LINE_AA, _SHIFT)


def draw_pad(target: U8 | U16, pad: Pad, scale: float, grow: float, value: int = 255) -> None:
    """Draw a pad grown by `grow` units on each side; no anti-aliasing on 16-bit layers."""
    line = cv2.LINE_AA if target.dtype == np.uint8 else cv2.LINE_8
    half_w, half_h = pad.width / 2 + grow, pad.height / 2 + grow
    if pad.shape == "rect":
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (half_w, half_h)
        points = fixed_from_units(corners + np.array([pad.x, pad.y]), scale)
        cv2.fillConvexPoly(target, points, (value,), line, _SHIFT)
        return
    # A round or oval pad is a thick line between the centres of its end caps.
    radius = min(half_w, half_h)
    reach = np.array([half_w - radius, half_h - radius])
    for t in np.linspace(-1, 1, 2 if reach.any() else 1):
        x, y = fixed_from_units(np.array([[pad.x, pad.y]]) + t * reach, scale)[0, 0]
        radius_fixed = round(radius * scale * (1 << _SHIFT))
        cv2.circle(target, (int(x), int(y)), radius_fixed, (value,), -1, line, _SHIFT)
    if reach.any():
        side = np.array([radius, 0.0]) if reach[0] == 0 else np.array([0.0, radius])
        corners = np.array([-reach - side, -reach + side, reach + side, reach - side])
        points = fixed_from_units(corners + np.array([pad.x, pad.y]), scale)
        cv2.fillConvexPoly(target, points, (value,), line, _SHIFT)


def _draw_pour(layers: Layers, layout: Layout, polygon: F64) -> None:
    scale = layers.scale
    region = np.zeros_like(layers.copper)
    fill_polygon(region, polygon, scale)
    clearance, rounding = 0.55 * layout.pitch * scale, 3.5 * scale
    blocked = np.where(region > 127, layers.copper, 255)
    away = cv2.distanceTransform((blocked < 128).astype(np.uint8), cv2.DIST_L2, 3)
    core = (away > clearance + rounding).astype(np.uint8)
    # A small island of pour would look like spurious copper: keep only large ones.
    _, marks, stats, _ = cv2.connectedComponentsWithStats(core)
    large = stats[:, cv2.CC_STAT_AREA] > 2500 * scale * scale
    large[0] = False
    core = large[marks].astype(np.uint8)
    # Growing the core back rounds corners and leaves no thin tongues, which would look like spurs.
    outside = cv2.distanceTransform(1 - core, cv2.DIST_L2, 3)
    pour = np.clip((rounding - outside) * 255 + 128, 0, 255).astype(np.uint8)
    if layout.pour_hatched:
        inner = np.clip((outside_in(pour) - 4 * scale) * 255, 0, 255).astype(np.uint8)
        pour = np.minimum(pour, 255 - np.minimum(inner, _hatch_gaps(pour.shape, layout, scale)))
    layers.copper = np.maximum(layers.copper, pour)
    layers.nets[(pour > 127) & (layers.nets == 0)] = POUR_NET


def outside_in(mask: U8) -> npt.NDArray[np.float32]:
    """Distance in px from every covered pixel to the nearest uncovered one."""
    distance: npt.NDArray[np.float32] = cv2.distanceTransform(
        (mask > 127).astype(np.uint8), cv2.DIST_L2, 3
    ).astype(np.float32)
    return distance


def _hatch_gaps(shape: tuple[int, ...], layout: Layout, scale: float) -> U8:
    """Square holes on a 45-degree raster, uint8 [rows, cols]."""
    pitch = layout.pitch * 1.15 * scale
    lines = np.zeros(shape, np.uint8)
    rows, cols = shape[0], shape[1]
    for start in np.arange(-rows, cols + rows, pitch * np.sqrt(2)):
        for slope in (1, -1):
            x0, x1 = start, start + slope * rows
            points = np.array([[x0, 0.0], [x1, float(rows)]])
            fixed = fixed_from_units(points, 1.0)
            cv2.polylines(lines, [fixed], False, (255,), round(pitch * 0.42), cv2.LINE_AA, _SHIFT)
    return cv2.bitwise_not(lines).astype(np.uint8, copy=False)


def _draw_silk(layers: Layers, layout: Layout) -> None:
    scale = layers.scale
    thickness = max(1, round(1.3 * scale))
    for stroke in layout.strokes:
        points = fixed_from_units(stroke.points, scale)
        cv2.polylines(layers.silk, [points], stroke.closed, (255,), thickness, cv2.LINE_AA, _SHIFT)
    for label in layout.labels:
        _draw_label(layers, label, thickness)
    # Fabs clip the silkscreen off everything that gets soldered or drilled.
    layers.silk = np.minimum(layers.silk, 255 - layers.keepout)


def _draw_label(layers: Layers, label: Label, thickness: int) -> None:
    size = (
        label.height * layers.scale / 21.0
    )  # this Hershey font's capitals are 21 px high at size 1
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), base = cv2.getTextSize(label.text, font, size, thickness)
    text = np.zeros((height + base, width), np.uint8)
    cv2.putText(text, label.text, (0, height), font, size, (255,), thickness, cv2.LINE_AA)
    x, y = round(label.x * layers.scale), round(label.y * layers.scale) - height
    if label.vertical:
        text = np.ascontiguousarray(np.rot90(text))
    window = (slice(max(y, 0), y + text.shape[0]), slice(max(x, 0), x + text.shape[1]))
    patch = layers.silk[window]
    # No designer leaves text across pads, where clipping would make it unreadable.
    if patch.shape != text.shape or float(layers.keepout[window].mean()) > 12:
        return
    np.maximum(patch, text, out=patch)
