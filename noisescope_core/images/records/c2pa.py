"""Content credentials: manifests of C2PA in their boxes (JUMBF, ISO/IEC 19566-5).

They are read and not verified: no signature is checked, nor that they belong to this image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from noisescope_core.images.records.cbor import decoded
from noisescope_core.images.records.spans import HEADER, Box, Span, Unreadable, boxes
from noisescope_core.images.records.words import is_generator, is_trained

_SUPERBOX, _DESCRIPTION = b"jumb", b"jumd"

_LABEL = 17
"""Where the label of a description begins: behind a UUID and a byte of flags."""

_LONGEST_LABEL = 256
"""Bytes of a label that are read. Chosen: a manifest's is a UUID with a few words."""

_ASSERTIONS = ("c2pa.actions", "c2pa.metadata", "stds.iptc", "stds.schema-org.CreativeWork")
"""How labels of the assertions begin that may name a digital source type (C2PA 1.0 to 2.2)."""


@dataclass(frozen=True)
class Manifest:
    """What one manifest says.

    Attributes
    ----------
    generator : program that made the claim, or the one that an action names; None without either
    trained : whether it says that the image, or a part of it, is from a trained model
    """

    generator: str | None
    trained: bool

    @property
    def generated(self) -> bool:
        """Whether it is a claim that the image was generated."""
        return self.trained or is_generator(self.generator or "")


def claim(store: Span) -> tuple[bool, str | None]:
    """Read whether a store of manifests says that the image was generated, and by what.

    The last manifest is the image's own; those before it are of what it was made from.
    """
    claiming = [manifest for manifest in manifests(store) if manifest.generated]
    # A source type says more than the name of a program.
    claiming.sort(key=lambda manifest: manifest.trained)
    return (True, claiming[-1].generator) if claiming else (False, None)


def manifests(store: Span) -> Iterator[Manifest]:
    """Read the manifests of a store, as far as they can be read."""
    with suppress(Unreadable):
        for box in boxes(store):
            label, content = _labelled(box)
            for one in content if label == "c2pa" else ():
                yield _manifest(_labelled(one)[1])


def _labelled(box: Box) -> tuple[str, list[Box]]:
    """Take a superbox apart: its label, and what follows its description; empty if it is none."""
    inside = boxes(box.body) if box.kind == _SUPERBOX else iter(())
    first = next(inside, None)
    if first is None or first.kind != _DESCRIPTION:
        return "", []
    label = first.body.head(_LABEL + _LONGEST_LABEL)[_LABEL:].partition(b"\0")[0]
    return label.decode("utf-8", "replace"), list(inside)


def _manifest(content: Sequence[Box]) -> Manifest:
    program, said = None, []
    for box in content:
        label, inside = _labelled(box)
        if label.startswith("c2pa.claim"):
            program = next(filter(None, map(_program, _values(inside))), program)
        elif label == "c2pa.assertions":
            said += [value for one in inside for value in _asserted(*_labelled(one))]
    maps = [one for value in said for one in _maps(value)]
    trained = [one for one in maps if _source_type_is_trained(one)]
    agents = (_name(one.get("softwareAgent")) for one in trained or maps)
    return Manifest(program or next(filter(None, agents), None), bool(trained))


def _asserted(label: str, content: Sequence[Box]) -> Iterator[Any]:
    return _values(content if label.startswith(_ASSERTIONS) else ())


def _values(content: Sequence[Box]) -> Iterator[Any]:
    """Decode the boxes of data; what is broken is passed over."""
    for box in content:
        try:
            if box.kind == b"cbor":
                yield decoded(box.body.head(box.body.size))
            elif box.kind == b"json":
                yield json.loads(box.body.head(box.body.size))
        except (ValueError, RecursionError):
            continue


def _program(claimed: Any) -> str | None:
    """Name the program that made a claim."""
    if not isinstance(claimed, dict):
        return None
    return _name(claimed.get("claim_generator_info")) or _name(claimed.get("claim_generator"))


def _name(of: Any) -> str | None:
    """Take a name that is text, or under `name`, or that of the first in a list."""
    of = of[0] if isinstance(of, list) and of else of
    of = of.get("name") if isinstance(of, dict) else of
    return of if isinstance(of, str) and of.strip() else None


def _maps(value: Any) -> Iterator[dict[Any, Any]]:
    """List the maps in a value, itself included."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += reversed(one.values())
        elif isinstance(one, list):
            waiting += reversed(one)


def _source_type_is_trained(of: dict[Any, Any]) -> bool:
    return any(
        isinstance(value, str) and is_trained(value)
        for key, value in of.items()
        if isinstance(key, str) and key.rpartition(":")[2].lower() == "digitalsourcetype"
    )


def joined(packets: Sequence[tuple[int, Span]]) -> Span:
    """Put a box together that a JPEG file carries in several segments (ISO/IEC 19566-5, annex D).

    Parameters
    ----------
    packets : at least one: its number, and what it carries, the box's header and content
    """
    places = []
    for position, (_, packet) in enumerate(sorted(packets, key=lambda one: one[0])):
        skipped = 0
        if position:
            skipped = 2 * HEADER if packet.number(0, 4) == 1 else HEADER
        if packet.size < skipped:
            raise Unreadable("a packet without the header of its box")
        places.append((packet.place(skipped), packet.size - skipped))
    return Span(packets[0][1].looks, places)
