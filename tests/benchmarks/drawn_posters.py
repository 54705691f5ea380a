"""Posters for pictures of the documentation: drawn, or made of pictures in the public domain."""

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 300, 430  # px


def night() -> Image.Image:
    """Draw a moon over hills."""
    poster = Image.new("L", (_WIDTH, _HEIGHT), 92)
    draw = ImageDraw.Draw(poster)
    draw.ellipse((150, 60, 250, 160), 225)
    draw.polygon([(0, 330), (90, 240), (190, 350), (300, 270), (300, 430), (0, 430)], 40)
    draw.text((22, 372), "THE LONG ROAD", 225, ImageFont.load_default(34))
    return poster


def window() -> Image.Image:
    """Draw a face of two tones on a light ground."""
    poster = Image.new("L", (_WIDTH, _HEIGHT), 168)
    draw = ImageDraw.Draw(poster)
    draw.rectangle((30, 90, 270, 330), 215)
    draw.ellipse((95, 120, 205, 270), 120)
    draw.pieslice((95, 120, 205, 270), 90, 270, 70)
    draw.rectangle((60, 262, 240, 330), 35)
    draw.text((30, 24), "TWO FACES", 30, ImageFont.load_default(44))
    draw.text((32, 350), "a drawn film", 30, ImageFont.load_default(30))
    return poster


def photograph(name: str, title: str) -> Image.Image:
    """Put a title below a picture of scikit-image's that is in the public domain."""
    picture = Image.fromarray(getattr(skimage.data, name)())
    scale = max(_WIDTH / picture.width, 340 / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    left = (picture.width - _WIDTH) // 2
    poster = Image.new("RGB", (_WIDTH, _HEIGHT), (244, 240, 232))
    poster.paste(picture.crop((left, 0, left + _WIDTH, 340)), (0, 0))
    draw, font = ImageDraw.Draw(poster), ImageFont.load_default(40)
    wide = draw.textlength(title, font)
    draw.text(((_WIDTH - wide) / 2, 358), title, (40, 30, 30), font)
    return poster


def as_array(poster: Image.Image) -> np.ndarray:
    """Return a poster as uint8 (H, W, 3)."""
    return np.asarray(poster.convert("RGB"))
