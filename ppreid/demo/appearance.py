"""What a procedural pedestrian looks like: clothes, hair, bag, hat and proportions, drawn at random.

People come in families who share the main colours of their clothes, so that colour alone cannot tell them apart;
cut, pattern, hair, bag, hat and proportions can.
"""

from dataclasses import dataclass

import numpy as np

from ppreid.demo.canvas import Colour

FAMILY_SIZE = 3
_OWN_COLOUR = 0.18  # probability that somebody deviates from the family's colour, for each garment

SKIN = ((255, 219, 190), (234, 190, 150), (200, 150, 110), (150, 100, 70), (96, 64, 46))
SKIN_WEIGHTS = (0.30, 0.30, 0.20, 0.12, 0.08)
HAIR = ((30, 24, 20), (70, 45, 25), (120, 80, 40), (190, 150, 90), (205, 205, 208), (110, 40, 20))
HAIR_WEIGHTS = (0.35, 0.25, 0.12, 0.12, 0.10, 0.06)
CLOTH = {
    "beige": (190, 168, 134),
    "black": (32, 32, 36),
    "blue": (52, 96, 176),
    "brown": (98, 66, 44),
    "green": (48, 112, 66),
    "grey": (120, 122, 126),
    "navy": (34, 44, 84),
    "orange": (214, 112, 40),
    "pink": (216, 138, 158),
    "purple": (108, 62, 128),
    "red": (178, 40, 44),
    "teal": (44, 130, 136),
    "white": (225, 225, 222),
    "yellow": (212, 178, 52),
}
UPPER_COLOURS = tuple(name for name in CLOTH if name != "brown")
LOWER_COLOURS = ("black", "navy", "blue", "grey", "beige", "brown", "white")
SHOE_COLOURS = ("black", "white", "brown", "grey", "red", "blue")
BAG_COLOURS = ("black", "navy", "red", "brown", "green", "grey", "blue", "orange")

# Each choice with its probability.
HAIRSTYLES = {"short": 0.45, "long": 0.22, "bob": 0.17, "bun": 0.10, "bald": 0.06}
PATTERNS = {"plain": 0.26, "logo": 0.16, "stripes": 0.14, "block": 0.14, "check": 0.12, "yoke": 0.10}
PATTERNS |= {"pinstripes": 0.08}
LOGOS = {"disc": 0.25, "square": 0.25, "triangle": 0.25, "bar": 0.25}
SLEEVES = {"long": 0.60, "short": 0.34, "none": 0.06}
LOWERS = {"trousers": 0.58, "shorts": 0.18, "skirt": 0.16, "leggings": 0.08}
BAGS = {"none": 0.38, "backpack": 0.30, "shoulder": 0.18, "hand": 0.14}
HATS = {"none": 0.78, "cap": 0.12, "beanie": 0.10}


@dataclass(frozen=True)
class Appearance:
    """Everything that stays the same about a person in all images.

    Lengths without a unit are factors of the average person; `stature` and `leg` are fractions (of the crop height and
    of the body height); `pattern_period` is in body heights.
    """

    stature: float
    girth: float
    hip: float
    leg: float
    head: float
    swing: float
    skin: Colour
    hair: Colour
    hairstyle: str
    pattern: str
    pattern_period: float
    logo: str
    upper: Colour
    upper_accent: Colour
    upper_length: float
    sleeve: str
    open_jacket: bool
    inner: Colour
    lower: str
    lower_colour: Colour
    side_stripe: Colour | None
    shoes: Colour
    boots: bool
    bag: str
    bag_colour: Colour
    hat: str
    hat_colour: Colour


def random_appearance(rng: np.random.Generator, family_rng: np.random.Generator) -> Appearance:
    """Draw a person.

    Args:
        rng: random numbers of this person.
        family_rng: random numbers of the family, in the same state for each of its members.

    Returns:
        The person.
    """
    upper = _own_or_family(rng, family_rng, UPPER_COLOURS)
    lower = _own_or_family(rng, family_rng, LOWER_COLOURS)
    long_coat = rng.random() < 0.10
    return Appearance(
        stature=rng.uniform(0.86, 1.0),
        girth=rng.uniform(0.84, 1.20),
        hip=rng.uniform(0.85, 1.12),
        leg=rng.uniform(0.46, 0.53),
        head=rng.uniform(0.92, 1.10),
        swing=rng.uniform(0.6, 1.2),
        skin=np.array(SKIN[rng.choice(len(SKIN), p=SKIN_WEIGHTS)], dtype=float),
        hair=_nuance(rng, HAIR[rng.choice(len(HAIR), p=HAIR_WEIGHTS)], spread=6),
        hairstyle=_draw(rng, HAIRSTYLES),
        pattern=_draw(rng, PATTERNS),
        pattern_period=rng.uniform(0.037, 0.085),
        logo=_draw(rng, LOGOS),
        upper=_nuance(rng, CLOTH[upper]),
        upper_accent=_cloth(rng, [name for name in UPPER_COLOURS if name != upper]),
        upper_length=rng.uniform(0.99, 1.18) * (1.3 if long_coat else 1.0),
        sleeve=_draw(rng, SLEEVES),
        open_jacket=rng.random() < 0.22,
        inner=_cloth(rng, UPPER_COLOURS),
        lower=_draw(rng, LOWERS),
        lower_colour=_nuance(rng, CLOTH[lower]),
        side_stripe=_cloth(rng, UPPER_COLOURS) if rng.random() < 0.15 else None,
        shoes=_cloth(rng, SHOE_COLOURS),
        boots=rng.random() < 0.15,
        bag=_draw(rng, BAGS),
        bag_colour=_cloth(rng, BAG_COLOURS),
        hat=_draw(rng, HATS),
        hat_colour=_cloth(rng, BAG_COLOURS),
    )


def _draw(rng: np.random.Generator, weights: dict[str, float]) -> str:
    return str(rng.choice(list(weights), p=list(weights.values())))


def _cloth(rng: np.random.Generator, names: list[str] | tuple[str, ...]) -> Colour:
    return _nuance(rng, CLOTH[str(rng.choice(names))])


def _nuance(rng: np.random.Generator, colour: tuple[int, int, int], spread: float = 10) -> Colour:
    return np.clip(np.array(colour) + rng.normal(0, spread, 3), 8, 247)


def _own_or_family(rng: np.random.Generator, family_rng: np.random.Generator, names: tuple[str, ...]) -> str:
    family, own = str(family_rng.choice(names)), str(rng.choice(names))
    return own if rng.random() < _OWN_COLOUR else family
