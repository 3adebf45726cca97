"""What the clients of these tests show, say, see and hear. Colours and tones are those of
tests/browser/lib/media.mjs, so that pages and programs can look at each other."""

import colorsys
import json
import math

# Hue in degrees, tone in Hz.
PEOPLE = {"red": (0, 430), "green": (120, 1010), "blue": (240, 2290), "yellow": (60, 3370)}
# What pictures are reduced to before they are looked at.
EYE = (96, 54)
RATE = 48000


def rgb(colour):
    """A strong colour, as bytes."""
    hue, _ = PEOPLE[colour]
    channel = lambda n: 0.9 - 0.8 * max(0, min(k := (n + hue / 60) % 6, 4 - k, 1))
    return tuple(round(channel(n) * 255) for n in (5, 3, 1))


def shares(pixels):
    """The share of each person's colour in a picture of packed RGB."""
    counts = dict.fromkeys(PEOPLE, 0)
    for at in range(0, len(pixels) - 2, 3):
        r, g, b = pixels[at : at + 3]
        hue, saturation, value = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
        if saturation < 0.45 or value < 0.8:
            continue
        for name, (wanted, _) in PEOPLE.items():
            apart = abs(hue * 360 - wanted)
            counts[name] += min(apart, 360 - apart) < 25
    return {name: round(3 * n / len(pixels), 3) for name, n in counts.items()}


def levels(samples):
    """How loud each person's tone is in signed 16-bit mono, in dB of full scale (Goertzel)."""
    found = {}
    for name, (_, hz) in PEOPLE.items():
        turn = 2 * math.cos(2 * math.pi * hz / RATE)
        a = b = 0.0
        for sample in samples:
            a, b = sample / 32768 + turn * a - b, a
        power = (a * a + b * b - turn * a * b) / (len(samples) / 2) ** 2
        found[name] = round(max(-120, 10 * math.log10(power + 1e-12)))
    return found


def tell(event, **more):
    """A line for the test."""
    # With its end at once: several threads tell.
    print(json.dumps({"event": event, **more}) + "\n", end="", flush=True)
