"""Words of records: cleaned to be stored and shown, and names that tell a generator."""

from __future__ import annotations

import re

LONGEST = 200
"""Characters of a name that is kept. Chosen: longer ones are prompts or an attack."""

TRAINED = frozenset({"trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia"})
"""Digital source types of generated images (IPTC NewsCodes), in lower case, without the address."""

GENERATORS = (
    "adobe firefly", "artbreeder", "automatic1111", "bing image creator", "black forest labs",
    "chatgpt", "comfyui", "craiyon", "dall e", "dalle", "deep dream generator", "diffusionbee",
    "draw things", "dreamina", "dreamstudio", "easy diffusion", "fooocus", "google ai",
    "google gemini", "google imagen", "gpt 4o", "gpt image", "grok", "ideogram", "imagefx",
    "invoke ai", "invokeai", "jimeng", "krea ai", "leonardo ai", "microsoft responsible ai",
    "midjourney", "mochi diffusion", "nano banana", "nightcafe", "novelai", "openai", "recraft",
    "sd next", "seaart", "seedream", "stability ai", "stable diffusion", "stablediffusion",
    "swarmui", "tensor art", "wombo",
)  # fmt: skip
"""What generators call themselves where a program is named; lower case, other signs as spaces.
Chosen; names of programs that mostly edit photographs are none of these."""

_MADE_WITH = re.compile(r"\b(?:generated|created|made)\s(?:by|with|using|in)\s(.{1,40})", re.I)


def cleaned(text: str | None) -> str | None:
    """Make text of a file fit to be stored and shown: one line, no control characters, bounded.

    Examples
    --------
    >>> cleaned(" DALL-E\\r\\n\\x1b[31m 3\\u202e ")
    'DALL-E [31m 3'
    >>> cleaned("\\0") is None
    True
    """
    if text is None:
        return None
    # Words beyond it are not looked at: a text may be as long as the bound.
    line = " ".join(text[: 16 * LONGEST].split())
    shown = "".join(sign for sign in line if sign.isprintable())
    return shown[:LONGEST].strip() or None


def is_generator(name: str) -> bool:
    """Whether the name of a program is that of a generator.

    Examples
    --------
    >>> is_generator("Adobe_Firefly/1.0"), is_generator("Adobe Photoshop 25.1")
    (True, False)
    """
    plain = f" {re.sub('[^0-9a-z]+', ' ', name[: 4 * LONGEST].lower())} "
    return any(f" {generator} " in plain for generator in GENERATORS)


def made_with(text: str) -> str | None:
    """Give the generator with which something was made, if a description says so.

    Examples
    --------
    >>> made_with("Made with Google AI"), made_with("Made with love")
    ('Google AI', None)
    """
    found = (match[1] for match in _MADE_WITH.finditer(text))
    return next((name for name in found if is_generator(name)), None)


def is_trained(source_type: str) -> bool:
    """Whether a digital source type is that of a generated image, wholly or in part."""
    return re.split(r"[/:#]", source_type.strip().rstrip("/"))[-1].lower() in TRAINED
