"""Image files that say things: the same pixels with records of many kinds, as tools write them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(kind, pixels=PIXELS, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def cbor(value):
    """Encode text, bytes, numbers, lists and maps."""

    def head(major, count):
        for short, size in ((24, 1), (25, 2), (26, 4)):
            if count < 24:
                return bytes([major << 5 | count])
            if count < 1 << 8 * size:
                return bytes([major << 5 | short]) + count.to_bytes(size, "big")
        raise ValueError(count)

    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def superbox(label, *content, kind=b"c2cl"):
    uuid = kind + bytes.fromhex("00110010800000aa00389b71")
    return box(b"jumb", box(b"jumd", uuid, b"\x03", label.encode(), b"\0"), *content)


def manifest(claimed, actions, name="urn:uuid:1", extra=(), size=90_000):
    """A manifest with a thumbnail, its actions, its claim and a place for a signature."""
    thumbnail = superbox("c2pa.thumbnail.claim.jpeg", box(b"bfdb", b"\0image/jpeg\0"),
                         box(b"bidb", bytes(size)), kind=b"\x40\xcb\x0c\x32")  # fmt: skip
    said = superbox("c2pa.actions", box(b"cbor", cbor({"actions": actions})), kind=b"cbor")
    return superbox(
        name,
        superbox("c2pa.assertions", thumbnail, said, *extra, kind=b"c2as"),
        superbox("c2pa.claim", box(b"cbor", cbor(claimed))),
        superbox("c2pa.signature", box(b"cbor", cbor(b"no signature")), kind=b"c2cs"),
        kind=b"c2ma",
    )


def store(*manifests):
    return superbox("c2pa", *manifests, kind=b"c2pa")


def generated(generator="ChatGPT", source=TRAINED, **action):
    """A store of one manifest that says that the image was generated."""
    action = {"action": "c2pa.created", "digitalSourceType": source, **action}
    return store(manifest({"claim_generator_info": [{"name": generator}]}, [action]))


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(*segments, file=None):
    file = encoded("JPEG", quality=90) if file is None else file
    return file[:2] + b"".join(segments) + file[2:]


def app11(jumbf, most=60_000):
    """Segments that carry a box; every one repeats its header."""
    header, body = jumbf[:8], jumbf[8:]
    return [
        segment(0xEB, b"JP" + struct.pack(">HI", 1, number) + header + body[start : start + most])
        for number, start in enumerate(range(0, len(body), most), 1)
    ]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks, file=None):
    file = encoded("PNG") if file is None else file
    return file[:33] + b"".join(chunks) + file[33:]


def png_texts(packed=False, **texts):
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword.replace("_", "-" if keyword == "sd_metadata" else "_"), text, packed)
    return encoded("PNG", pnginfo=info)


def webp_with(kind, body):
    file = encoded("WEBP", lossless=True)
    added = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(file) - 8 + len(added)) + file[8:] + added


def media_with_uuid(jumbf):
    """The boxes of an AVIF file, without its pixels."""
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    purpose = bytes(4) + b"manifest\0" + bytes(8)
    return box(b"ftyp", b"avif", bytes(4), b"avif") + box(b"uuid", uuid, purpose, jumbf)


def xmp(properties="", elements=""):
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" {properties}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def exif(**values):
    """EXIF by Pillow: of the names below, `comment` as tools for JPEG write it."""
    numbers = {"description": 0x010E, "make": 0x010F, "model": 0x0110, "software": 0x0131}
    tags = Image.Exif()
    for name, value in values.items():
        if name == "comment":
            tags.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + value.encode("utf-16-be")
        else:
            tags[numbers[name]] = value
    return tags


def iim(**datasets):
    """Photoshop's resources with the program and the credit of IPTC's older records."""
    numbers = {"program": 65, "credit": 110}
    records = b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[name], len(text)) + text.encode()
        for name, text in datasets.items()
    )
    before = b"8BIM" + struct.pack(">H", 0x03ED) + b"\0\0" + struct.pack(">I", 3) + b"abc\0"
    return before + b"8BIM" + struct.pack(">H", 0x0404) + b"\0\0" + struct.pack(
        ">I", len(records)
    ) + records  # fmt: skip
