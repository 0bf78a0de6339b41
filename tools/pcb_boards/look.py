"""What a board is made of and how it is photographed: all random choices that are not geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import F64

Color = tuple[float, float, float]  # BGR, 0..255

# name: mask over bare laminate, mask over copper, silkscreen
MASKS: dict[str, tuple[Color, Color, Color]] = {
    "green": ((38, 82, 24), (62, 138, 52), (235, 238, 236)),
    "dark green": ((28, 52, 14), (52, 92, 34), (228, 232, 230)),
    "blue": ((104, 46, 12), (166, 98, 38), (240, 238, 236)),
    "red": ((24, 18, 118), (48, 54, 192), (236, 238, 240)),
    "black": ((27, 26, 26), (66, 68, 70), (232, 232, 232)),
    "white": ((226, 230, 230), (172, 186, 190), (40, 38, 38)),
    "purple": ((82, 26, 70), (136, 62, 130), (236, 234, 236)),
    "yellow": ((28, 142, 182), (84, 206, 244), (30, 30, 34)),
    "teal": ((92, 84, 14), (148, 146, 48), (238, 238, 236)),
    "none": ((122, 164, 182), (66, 112, 190), (244, 246, 246)),
}
_MASK_WEIGHTS = (0.22, 0.1, 0.14, 0.11, 0.1, 0.07, 0.08, 0.06, 0.05, 0.07)

# Pad finishes: gold over nickel, tin-lead or silver, bare copper.
_FINISHES: tuple[Color, ...] = ((92, 178, 222), (206, 210, 210), (96, 142, 214))
_LAMINATE: Color = (112, 150, 168)
_BACKGROUNDS: tuple[Color, ...] = (
    (38, 38, 40),
    (120, 118, 116),
    (206, 206, 204),
    (92, 62, 40),
    (58, 84, 50),
    (80, 118, 158),
)


@dataclass(frozen=True)
class Look:
    """Colours (BGR float64 [3]) and camera settings; sigmas and lengths in units."""

    mask_color: str
    laminate: F64
    copper: F64
    silk: F64
    finish: F64
    opening: F64
    hole: F64
    background: F64
    relief: float
    light_tilt: F64  # brightness gain from one side to the other, float64 [2]
    vignette: float
    glare: tuple[float, float, float, float]  # x, y, radius as fractions of the long side, strength
    gain: F64  # white balance and exposure, float64 [3]
    defocus: float
    motion: tuple[float, float]  # x, y
    noise: float  # standard deviation in levels
    dirt: float  # how many specks, hairs and scratches there are, about
    jpeg_quality: int
    full_board: bool
    rotation_rad: float
    perspective: F64  # corner shifts as fractions of the image, float64 [4, 2]


def random_look(rng: np.random.Generator, mask_color: str | None = None) -> Look:
    name = mask_color or str(rng.choice(list(MASKS), p=_MASK_WEIGHTS))
    base, over_copper, ink = MASKS[name]
    laminate, silk = _jitter(rng, base, 0.1), _jitter(rng, ink, 0.08)
    # Boards of one colour differ in how much copper shows through the mask, but it always shows.
    shine = (np.array(over_copper) - np.array(base)) * float(rng.uniform(0.85, 1.3))
    copper = np.clip(laminate + shine * rng.uniform(0.93, 1.07, 3), 0, 255)
    if name != "none" and rng.random() < 0.06:  # some masks and lights make copper the darker one
        laminate, copper = copper, laminate
    finish = _jitter(rng, _FINISHES[int(rng.choice(3, p=(0.4, 0.45, 0.15)))], 0.06)
    backdrop = _jitter(rng, _BACKGROUNDS[int(rng.integers(0, len(_BACKGROUNDS)))], 0.15)
    # Most boards lie on something dark in their own shadow; a light table shines through the holes.
    hole = backdrop * float(rng.uniform(0.15, 0.45))
    if rng.random() < 0.12 and finish.mean() < 180:
        hole = np.array([246.0, 248.0, 248.0])
    elif hole.mean() > finish.mean() - 90:
        hole = hole * 0.35
    if name == "none":
        finish = copper if rng.random() < 0.5 else finish
    angle, tilt = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 0.22))
    exposure = float(rng.uniform(0.82, 1.12))
    # A bright mask is exposed so that it does not clip, or copper and mask would both be white.
    exposure = min(exposure, 232.0 / float(max(laminate.max(), copper.max())))
    turn = float(rng.uniform(-10, 10)) if rng.random() < 0.12 else float(rng.normal(0, 2.4))
    motion_angle = float(rng.uniform(0, np.pi))
    motion_length = float(rng.uniform(0, 1.8)) if rng.random() < 0.2 else 0.0
    return Look(
        mask_color=name,
        laminate=laminate,
        copper=copper,
        silk=silk,
        finish=finish,
        opening=_jitter(rng, _LAMINATE, 0.1),
        hole=np.clip(hole, 0, 250),
        background=backdrop,
        relief=float(rng.uniform(0.0, 0.16)),
        light_tilt=np.array([np.cos(angle), np.sin(angle)]) * tilt,
        vignette=float(rng.uniform(0, 0.22)),
        glare=(
            float(rng.uniform(0, 1)),
            float(rng.uniform(0, 1)),
            float(rng.uniform(0.15, 0.5)),
            float(rng.uniform(0, 42)) if rng.random() < 0.5 else 0.0,
        ),
        gain=rng.uniform(0.93, 1.07, 3) * exposure,
        defocus=float(rng.uniform(0.0, 0.85)),
        motion=(
            motion_length * float(np.cos(motion_angle)),
            motion_length * float(np.sin(motion_angle)),
        ),
        noise=float(rng.uniform(0.8, 6.0)),
        dirt=float(rng.uniform(0, 14)) if rng.random() < 0.5 else 0.0,
        jpeg_quality=int(rng.integers(74, 96)),
        full_board=bool(rng.random() < 0.6),
        rotation_rad=float(np.deg2rad(turn)),
        perspective=rng.uniform(-0.026, 0.026, (4, 2)),
    )


def _jitter(rng: np.random.Generator, color: Color, amount: float) -> F64:
    bright = float(rng.uniform(1 - amount, 1 + amount))
    jittered: F64 = np.clip(
        np.array(color) * bright * rng.uniform(1 - amount / 2, 1 + amount / 2, 3), 0, 255
    )
    return jittered
