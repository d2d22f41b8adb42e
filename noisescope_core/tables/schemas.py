"""The columns of every table, declared once (docs/tables.md, docs/scheduled.md).

Spark takes the declarations as they are; `arrow_schema` gives Arrow the same. `SCHEMAS` are the
tables of a run, `LONG_LIVED` the Delta tables of scheduled scans.
"""

from __future__ import annotations

import pyarrow as pa


def types_in(declared: str) -> dict[str, str]:
    """Take declared columns apart: name to Spark's type, in order.

    Examples
    --------
    >>> types_in("path string, repeats array<double>")
    {'path': 'string', 'repeats': 'array<double>'}
    """
    return dict(column.split() for column in declared.split(","))


def names_in(declared: str) -> list[str]:
    """Names of declared columns, in order."""
    return list(types_in(declared))


SAYS = "claimed_by string, claimed_generator string, camera string"
"""What a file says of itself (`images.records`)."""

IMAGES = f"""
    path string, image_id string, pixels_id string, bytes long, width int, height int,
    status string, reason string, format string, quality int, quantization binary, watermark string,
    grey boolean, prepared string, {SAYS}"""
"""What is known of a file once it is decoded."""

CELLS = ("thumbnail", "sketch", "residual", "tile")
"""Columns of binary cells of an image: read only where they are needed."""

RESIDUALS = f"{IMAGES}, {', '.join(f'{name} binary' for name in CELLS)}"
"""The same with the noise residual, and with the mean tile of the noise."""

ANSWER = """
    score double, threshold double, confidence double, fingerprint_id string,
    shift_x int, shift_y int, factor double"""
"""What the test of an image against all fingerprints answers."""

CALIBRATED = """
    weights array<double>, centres array<double>, reference_centre double,
    reference_spread double, threshold double, member_mean double, member_spread double,
    prior double"""
"""What a score against a fingerprint is made of and held against (method `whitened`)."""

UNREADABLE = "unreadable"
"""Status of a file that could not be read now, and may be another time."""

WAITING = "waiting"
"""Status of an image that a scheduled scan searches by its tile alone, not by its residual."""

CONTENT = "path string, content binary, status string, reason string"
"""What reading a file gives: its bytes, or the status and the reason of a verdict without them."""

FINGERPRINT = f"""
    fingerprint_id string, kind string, width int, height int, images long, flagged boolean,
    margin double, haralick array<double>, cohesion double, repeats array<double>,
    off_grid boolean, maker string, strength double, colour double, peak double,
    grid double, spread double, lattice double, uneven double, scaled double, hue double,
    clear double,
    in_reference double,
    tile_shared double, tile_energy double, tile_single double, tile_dense double,
    tile_eighths double, tile_points double, tile_sixteenths double, tile_inner double,
    header string, same_header double, watermark string, watermarked double,
    {CALIBRATED}, elsewhere_centre double, elsewhere_spread double,
    members array<string>, member_pixels array<string>, covered array<boolean>, pixels binary,
    whitened binary, background binary"""
"""A pattern that images share, and what is known of its maker."""

SCHEMAS = {
    "files": """
        role string, folder string, path string, bytes long, reason string, place string,
        offset long, stored long, packing string, key string""",
    "listed": "path string, bytes long, modified long, reason string, replaced boolean",
    "route": "route string, files long",
    "headers": """
        path string, image_id string, pixels_id string, width int, height int, format string,
        quantization binary, reason string, watermark string, grey boolean, sketch binary,
        tile binary""",
    "candidates": """
        width int, height int, shard int, images long, off_grid boolean, accepted boolean,
        cohesion double, repeats array<double>, members array<string>, total binary""",
    "sample": """
        width int, height int, image_id string, path string, stands_for double""",
    "residuals": RESIDUALS,
    "reference_residuals": RESIDUALS,
    "calibration": """
        width int, height int, images long, reference long, t_merge double, reason string,
        unscored string""",
    "reference_fingerprints": """
        width int, height int, fingerprint long, haralick array<double>""",
    "correlations": """
        width int, height int, block_pair long, compared long, refined long,
        first array<long>, second array<long>, pce array<double>""",
    "band_correlations": """
        width int, height int, band int, values long, first long, compared long,
        products binary""",
    "searched": f"""
        compared long, round int, cluster int, image_id string, {FINGERPRINT}""",
    "clusters": """
        width int, height int, round int, cluster int, image_id string""",
    "merging": """
        width int, height int, rounds int, clusters int, compared long, refined long""",
    "fingerprints": FINGERPRINT,
    "tested": f"last_scan long, {FINGERPRINT}",
    "arrivals": f"""
        {IMAGES}, {ANSWER}, false_alarm string,
        {", ".join(f"{name} binary" for name in CELLS)}""",
    "scans": f"{IMAGES}, {ANSWER}, thumbnail binary",
    "scores": f"role string, path string, image_id string, width int, height int, {ANSWER}",
    "verdicts": f"""
        path string, image_id string, width int, height int, status string, reason string,
        score double, threshold double, is_fake boolean, fingerprint_id string,
        confidence double, shift_x int, shift_y int, factor double, {SAYS}""",
}
"""Columns of the tables of a run."""

LONG_LIVED = {
    "images": """
        image_id string, bytes long, width int, height int, status string, reason string,
        format string, quality int, watermark string, false_alarm string, first_scan long""",
    "verdicts": f"{SCHEMAS['verdicts']}, registry_version long, scan long",
    "current_verdicts": f"{SCHEMAS['verdicts']}, registry_version long, scan long",
    "fingerprints": f"""
        registry_version long, state string, merged_into string, note string, first_scan long,
        last_scan long, {SCHEMAS["fingerprints"]}""",
    "decisions": """
        fingerprint_id string, decided timestamp, before string, before_into string, state string,
        merged_into string, note string, analyst string, scan long""",
    "quarantine": "path string, image_id string, reason string, scan long",
    "seen": "path string, bytes long, modified long, scan long",
    "unreadable": """
        path string, reason string, tries long, first_scan long, last_scan long, place string,
        offset long, stored long, packing string""",
    "runs": """
        scan long, run_id string, images string, reference string, reference_images long,
        version string, config_hash string, started timestamp, finished timestamp,
        arrivals_seconds double, search_seconds double, tables_seconds double, bytes long,
        files long, scored long, unscored long, quarantined long, unreadable long, fake long,
        rejudged long, queued long, found long, registry_version long, real_score double,
        alerts array<string>""",
    "sizes": """
        width int, height int, waiting long, reference long, decided_scan long, searched_scan long,
        reason string""",
    "erasures": """
        erased timestamp, analyst string, images long, paths long, rows long,
        purged timestamp""",
    "lease": "name string, owner string, until timestamp",
    "arrivals": f"scan long, features long, {SCHEMAS['arrivals']}",
}
"""Schemas by table. `arrivals` holds features of images that no fingerprint claims."""

REVISION = 1
"""Of `LONG_LIVED`: raised by one with a change of it that an older version must not write to."""

KEYS = {
    "images": ("image_id",),
    "verdicts": ("path", "registry_version", "scan"),
    "current_verdicts": ("path",),
    "fingerprints": ("fingerprint_id",),
    "decisions": ("fingerprint_id", "decided"),
    "quarantine": ("path", "scan"),
    "seen": ("path", "bytes", "modified"),
    "unreadable": ("path",),
    "runs": ("scan",),
    "sizes": ("width", "height"),
    "erasures": ("erased", "analyst"),
    "lease": ("name",),
    "arrivals": ("scan", "path"),
}
"""Columns that tell the rows of a Delta table apart."""

CLUSTERED = {
    "verdicts": ("path", "scan"),
    "current_verdicts": ("path", "fingerprint_id"),
    "quarantine": ("scan",),
    "seen": ("path",),
    "arrivals": ("scan", "width", "height"),
}
"""Columns by which tables are clustered that are asked by others than their keys."""

REGISTRY_FILE = f"""
    state string, merged_into string, note string, {SCHEMAS["fingerprints"]}"""
"""Columns of the file in which a registry travels to another deployment."""

_OF_ALL_KINDS = ("fingerprint_id", "width", "height", "members", "pixels", "whitened")

REGISTRY_FILE_NEEDS = {
    None: (*_OF_ALL_KINDS, *names_in(CALIBRATED)),
    "lattice": (
        *_OF_ALL_KINDS, "background",
        *(name for name in names_in(CALIBRATED) if name not in ("weights", "centres")),
        "elsewhere_centre",
        "elsewhere_spread",
    ),
}  # fmt: skip
"""Columns of that file in which no cell may be null, by `kind`: without them no image can be
tested."""

REGISTRY_LIST = (
    "fingerprint_id", "state", "merged_into", "note", "width", "height", "images", "maker",
    "first_scan", "last_scan", "registry_version",
)  # fmt: skip
"""Columns of the Delta table `fingerprints` that a list of the registry shows."""

_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "timestamp": pa.timestamp("us", "UTC"),
}
"""Arrow's type for each of Spark's that is declared here; `array<...>` of these comes besides."""


def arrow_schema(declared: str) -> pa.Schema:
    """Give Arrow's schema of declared columns.

    Parameters
    ----------
    declared : str
        Such as ``width int, members array<string>``.

    Examples
    --------
    >>> arrow_schema("path string, repeats array<double>").types
    [DataType(string), ListType(list<element: double>)]
    """
    fields = []
    for name, kind in types_in(declared).items():
        if kind.startswith("array<"):
            element = pa.field("element", _TYPES[kind[len("array<") : -1]])
            fields.append(pa.field(name, pa.list_(element)))
        else:
            fields.append(pa.field(name, _TYPES[kind]))
    return pa.schema(fields)


def columns(table: str) -> list[str]:
    """Names of the columns of a run's table, in order."""
    return names_in(SCHEMAS[table])


def long_lived_columns(table: str) -> list[str]:
    """Names of the columns of a Delta table, in order."""
    return names_in(LONG_LIVED[table])
