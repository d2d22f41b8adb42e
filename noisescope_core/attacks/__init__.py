"""Attacks: what happens to images on their way, and what is done to them to hide their generator.

Every attack keeps the size, since images of another size would only be compared among themselves.
`catalogue` has the attacks by name, `patterns` the patterns that two of them need, `quality` what
they cost a picture, and `pixels` what all of them take.
"""

from noisescope_core.attacks.catalogue import ATTACKS, attack, check

__all__ = ["ATTACKS", "attack", "check"]
