"""Drawing in a style: the same picture can be drawn in other colours, in another size and with grain."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]

UNITS = 48
"""The side of a picture in its own coordinates, whatever its side in pixels."""

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white")


@dataclass(frozen=True, slots=True)
class Style:
    """`side` is that of the picture in pixels; `grain` the largest change of a pixel's channels by noise."""

    side: int
    papers: Sequence[Colour]
    palette: Mapping[str, Colour]
    grain: int = 0


PLAIN = Style(
    side=48,
    papers=((206, 206, 206), (188, 199, 211), (214, 205, 189), (199, 214, 199)),
    palette={
        "red": (220, 40, 40),
        "green": (40, 170, 60),
        "blue": (50, 80, 220),
        "yellow": (235, 205, 40),
        "purple": (150, 60, 190),
        "orange": (240, 140, 30),
        "black": (20, 20, 20),
        "white": (246, 246, 246),
    },
)

OTHER = Style(
    side=96,
    papers=((226, 214, 226), (182, 206, 206), (222, 222, 200), (192, 192, 214)),
    palette={
        "red": (196, 24, 62),
        "green": (20, 140, 84),
        "blue": (32, 104, 196),
        "yellow": (246, 222, 84),
        "purple": (120, 52, 160),
        "orange": (226, 120, 52),
        "black": (44, 40, 48),
        "white": (255, 252, 244),
    },
    grain=12,
)
"""Other tints, twice the side, and grain: for questions unlike those that a router was trained on."""


class Canvas:
    """A picture under way. Coordinates are in units, from the upper left corner."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        self._style, self._rng = style, rng
        self._scale = style.side / UNITS
        self._image = Image.new("RGB", (style.side, style.side), rng.choice(style.papers))
        self._draw = ImageDraw.Draw(self._image)

    def finished(self) -> Image.Image:
        """The picture, with the grain of the style."""
        if not self._style.grain:
            return self._image
        noise = np.random.default_rng(self._rng.getrandbits(32))
        grain = noise.integers(-self._style.grain, self._style.grain + 1, (self._style.side, self._style.side, 3))
        return Image.fromarray((np.asarray(self._image) + grain).clip(0, 255).astype(np.uint8))

    def shape(self, kind: str, x: float, y: float, radius: float, colour: str) -> None:
        """One of SHAPES around a centre."""
        if kind == "circle":
            self.circle(x, y, radius, colour)
        elif kind == "square":
            self.box(x - radius, y - radius, x + radius, y + radius, colour)
        elif kind == "triangle":
            corners = [(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
            self._draw.polygon([self._at(*corner) for corner in corners], fill=self._style.palette[colour])
        else:
            arm = radius / 3
            self.box(x - radius, y - arm, x + radius, y + arm, colour)
            self.box(x - arm, y - radius, x + arm, y + radius, colour)

    def circle(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        corners = [*self._at(x - radius, y - radius), *self._at(x + radius, y + radius)]
        self._draw.ellipse(corners, fill=self._style.palette[colour])

    def box(self, left: float, top: float, right: float, bottom: float, colour: str, *, rounded: float = 0) -> None:
        """A filled rectangle; `rounded` is the radius of its corners."""
        corners = [*self._at(left, top), *self._at(right, bottom)]
        self._draw.rounded_rectangle(corners, rounded * self._scale, fill=self._style.palette[colour])

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, *, width: float = 1) -> None:
        """A straight line."""
        ends = [*self._at(*start), *self._at(*end)]
        self._draw.line(ends, fill=self._style.palette[colour], width=round(width * self._scale))

    def ray(
        self, x: float, y: float, hour: float, lengths: tuple[float, float], colour: str, *, width: float = 1
    ) -> None:
        """A line from a centre in the direction of an hour on a clock, between two distances."""
        angle = math.radians(30 * hour - 90)
        near, far = ((x + length * math.cos(angle), y + length * math.sin(angle)) for length in lengths)
        self.line(near, far, colour, width=width)

    def text(self, x: float, y: float, text: str, size: float, colour: str) -> None:
        """A text in the font of Pillow; `size` is about the height of its capitals in units."""
        font = _font(round(size * self._scale))
        self._draw.text(self._at(x, y), text, font=font, fill=self._style.palette[colour])

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self._scale, y * self._scale


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
