"""Fingerprints packed as one file, and looked for in single images of any size."""

import io
import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from noisescope_core import methods
from noisescope_core.app.known import known_fingerprints
from noisescope_core.app.packs import pack, read_pack, write_pack
from noisescope_core.cli import main
from noisescope_core.config import load_config
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.lattice.background import background_of
from noisescope_core.lattice.detector import packed_background
from noisescope_core.lattice.frequencies import elsewhere
from noisescope_core.lattice.tiles import PERIOD, stacked
from noisescope_core.tables.results import open_results
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.tables.schemas import REGISTRY_FILE, SCHEMAS, arrow_schema, names_in
from tests.conftest import SMALL, picture, save
from tests.runs import verdict_rows, verdicts_of

pytest.importorskip("pyspark")

SETTINGS = (*[s for s in SMALL if s.startswith("spark.")], "method=whitened")
SIDE = load_config().whitening.side


def noisescope(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def refused(*arguments):
    """The one line of a command that is refused."""
    done = noisescope(*arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
    return done.stderr


def features_of(results, table):
    """Names of files, ids, and tiles (n, 1536) of a run's images."""
    rows = results.table(table, ("path", "image_id", "tile")).to_pylist()
    names = [row["path"].rsplit("/", 1)[-1] for row in rows]
    tiles = stacked([np.frombuffer(row["tile"], np.float16) for row in rows])
    return names, [row["image_id"] for row in rows], tiles


def undetermined_lattice(results, fakes):
    """A lattice of the pictures with a pattern, as a run finds them, whose maker it cannot tell."""
    names, ids, tiles = features_of(results, "residuals")
    photographs = features_of(results, "reference_residuals")[2]
    background = background_of(photographs[::2])
    chosen = [row for row, name in enumerate(names) if name in fakes]
    units = background.units(tiles[chosen])
    total = units.sum(0, dtype=np.float64)
    cosines = background.units(photographs[1::2]) @ total / np.linalg.norm(total)
    beside = elsewhere(background.units(photographs[1::2]), total[None])
    count = len(chosen)
    return FingerprintRow(
        fingerprint_id="1a77ice", kind="lattice", width=PERIOD, height=PERIOD, images=count,
        flagged=False, maker="undetermined", cohesion=(total @ total - count) / count / (count - 1),
        reference_centre=float(np.median(cosines)), reference_spread=float(cosines.std()),
        threshold=5.0, member_mean=10.0, member_spread=1.0, prior=-0.4,
        elsewhere_centre=float(np.median(beside)), elsewhere_spread=float(beside.std()),
        members=[ids[row] for row in chosen], pixels=bytes(4 * PERIOD * PERIOD),
        whitened=(total / count).astype(np.float32).tobytes(),
        background=packed_background(background),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(whitened_run, dump, tmp_path_factory):
    """A run that found a generator's fingerprint in place, and an undetermined lattice."""
    out = tmp_path_factory.mktemp("found") / "run"
    large = shutil.ignore_patterns("*residuals", "band_correlations")
    shutil.copytree(whitened_run.out, out, ignore=large)
    results = open_results(str(whitened_run.out))
    rows = [row for row in results.table("fingerprints").to_pylist() if row["kind"] != "lattice"]
    assert [row["flagged"] for row in rows] == [True]
    put_fingerprints(out, [*rows, vars(undetermined_lattice(results, dump.fakes))])
    return out


def put_fingerprints(out, rows):
    """Let a run have other fingerprints."""
    (part,) = (out / "fingerprints").glob("*.parquet")
    pq.write_table(pa.Table.from_pylist(rows, arrow_schema(SCHEMAS["fingerprints"])), part)


@pytest.fixture(scope="module")
def found(run):
    """Ids of the generator's fingerprint and the lattice."""
    rows = open_results(str(run)).table("fingerprints", ("fingerprint_id",)).to_pylist()
    return tuple(row["fingerprint_id"] for row in rows)


@pytest.fixture(scope="module")
def packs(run, found, tmp_path_factory):
    """Files with the generator's fingerprint, and with both."""
    folder = tmp_path_factory.mktemp("packs")
    pack(run, folder / "own.parquet")
    pack(run, folder / "both.parquet", found)
    return folder


@pytest.fixture(scope="module")
def images(dump, tmp_path_factory):
    """Two pictures of the dump, others of sizes that nobody has met, and what cannot be scored."""
    folder = tmp_path_factory.mktemp("single")
    rng = np.random.default_rng(5)
    fake, real = sorted(dump.fakes)[0], "002.png"
    for name in (fake, real):
        shutil.copy(dump.images / name, folder)
    # What the pictures of the dump have in common, on a larger one.
    pattern = np.random.default_rng(7).normal(0, 1.2, (64, 64, 1))
    larger = np.tile(pattern, (3, 4, 1))[:160, :224]
    save(folder / "larger-fake.png", picture(rng, (160, 224)) + larger)
    for number, size in enumerate([(64, 64), (65, 100), (300, 64), (160, 224)]):
        save(folder / f"real-{number}.png", picture(rng, size))
    save(folder / "small.png", picture(rng, (63, 200)))
    (folder / "broken.png").write_text("no image")
    return folder


def find_known(spark, images, fingerprints, out, *settings):
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.known import find_known as known
    from noisescope_core.spark.tables.run import Run

    progress = Progress(spark, Console(file=io.StringIO()))
    config = load_config(None, (*SETTINGS, *settings))
    return known(Run(spark, str(out)), config, progress, str(images), str(fingerprints))


def test_a_pack_has_what_the_run_takes_for_generators(run, found, packs, tmp_path):
    own, both = (pq.read_table(packs / f"{name}.parquet") for name in ("own", "both"))
    assert own.column_names == names_in(REGISTRY_FILE)
    assert own["fingerprint_id"].to_pylist() == [found[0]]
    rows = {row["fingerprint_id"]: row for row in both.to_pylist()}
    assert rows.keys() == set(found)
    generator, lattice = (rows[name] for name in found)
    assert (generator["state"], generator["note"]) == ("candidate", None)
    assert (lattice["state"], lattice["flagged"]) == ("confirmed", True)
    assert lattice["note"] == "packed by name; the run took it for: undetermined"
    assert lattice["weights"] is None
    done = noisescope("pack", "--run", run, "--out", tmp_path / "a/b.parquet")
    assert done.exit_code == 0
    said = done.stdout.splitlines()
    assert said[0] == f"1 fingerprint in {tmp_path / 'a/b.parquet'}"
    assert said[1] == f"└── {found[0]}  64 x 64  24 images  generator"
    # An earlier pack is replaced, and a beginning is a name.
    named = ["--fingerprint", found[1][:6], "--json"]
    done = noisescope("pack", "--run", run, "--out", tmp_path / "a/b.parquet", *named)
    told = json.loads(done.stdout)
    assert (told["fingerprints"], told["families"][0][0]["kind"]) == (1, "lattice")
    assert [row["fingerprint_id"] for row in read_pack(tmp_path / "a/b.parquet", SIDE)] == [
        found[1]
    ]


def test_lattices_of_one_family_are_one_branch(run, found, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    rows = open_results(str(run)).table("fingerprints").to_pylist()
    put_fingerprints(copy, [*rows, rows[1] | {"fingerprint_id": "f" * 12, "images": 12}])
    names = [word for name in (*found, "ffff") for word in ("--fingerprint", name)]
    done = noisescope("pack", "--run", copy, "--out", tmp_path / "pack.parquet", *names)
    assert done.stdout.splitlines()[1:] == [
        "├── family of 2",
        f"│   ├── {found[1]}  any size  24 images  undetermined",
        "│   └── ffffffffffff  any size  12 images  undetermined",
        f"└── {found[0]}  64 x 64  24 images  generator",
    ]


def test_a_set_of_anothers_rescaled_images_is_of_its_family(run, found, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    results = open_results(str(run))
    generator, lattice = results.table("fingerprints").to_pylist()
    # Another lattice that would flag none of these images.
    other = lattice | {"fingerprint_id": "f" * 12, "images": 12, "threshold": 1000.0}
    put_fingerprints(copy, [generator, lattice, other])
    verdicts = results.table("verdicts").to_pylist()
    for row in verdicts:
        if row["image_id"] in lattice["members"]:
            row |= {"fingerprint_id": other["fingerprint_id"], "factor": 0.75}
    first, *rest = (copy / "verdicts").glob("*.parquet")
    pq.write_table(pa.Table.from_pylist(verdicts, arrow_schema(SCHEMAS["verdicts"])), first)
    for part in rest:
        part.unlink()
    names = [word for name in (found[1], "ffff") for word in ("--fingerprint", name)]
    done = noisescope("pack", "--run", copy, "--out", tmp_path / "pack.parquet", *names)
    assert done.stdout.splitlines()[1:] == [
        "└── family of 2",
        f"    ├── {found[1]}  any size  24 images  undetermined  of {'f' * 12}, rescaled by 0.750",
        f"    └── {'f' * 12}  any size  12 images  undetermined",
    ]


def test_the_summary_of_a_run_tells_families(run, spark, tmp_path):
    from noisescope_core.spark.families import families_of
    from noisescope_core.spark.tables.run import Run

    tables = Run(spark, str(tmp_path / "run"))
    config = load_config(None, (*SETTINGS, "lattice.rescaled=true"))
    shutil.copytree(run, tables.location)
    assert families_of(tables, config) == []
    generator, lattice = open_results(str(run)).table("fingerprints").to_pylist()
    twin = lattice | {"fingerprint_id": "f" * 12, "images": 12}
    put_fingerprints(tmp_path / "run", [generator, twin, lattice])
    ((first, second),) = families_of(tables, config)
    assert (first["fingerprint_id"], first["above"], first["maker"]) == (
        lattice["fingerprint_id"], None, "undetermined",
    )  # fmt: skip
    assert (second["fingerprint_id"], second["above"]) == ("f" * 12, lattice["fingerprint_id"])
    assert second["score_there"] == second["score_here"] > second["bar_here"] == 25
    # What nobody flags, but most of whose images are another's at one factor.
    put_fingerprints(tmp_path / "run", [generator, twin | {"threshold": 1000.0}, lattice])
    assert families_of(tables, config) == []
    verdicts = tables.rows("verdicts")
    for row in verdicts:
        if row["image_id"] in lattice["members"]:
            row |= {"fingerprint_id": twin["fingerprint_id"], "factor": 0.75}
    tables.write_rows("verdicts", verdicts)
    ((first, second),) = families_of(tables, config)
    assert (first["origin"], first["factor"], second["origin"]) == ("f" * 12, 0.75, None)
    assert families_of(tables, load_config(None, SETTINGS)) == []


def test_what_cannot_be_packed_is_told_in_one_line(run, paper_run, tmp_path):
    named, file = ("--run", run), ("--out", tmp_path / "pack.parquet")
    assert "no finished run" in refused("pack", "--run", tmp_path, *file)
    assert "does not exist" in refused("pack", "--run", tmp_path / "none", *file)
    assert "zz: no fingerprints begin so" in refused("pack", *named, *file, "--fingerprint", "zz")
    assert "method paper" in refused("pack", "--run", paper_run.out, *file)
    assert "is a folder" in refused("pack", *named, "--out", tmp_path)
    (tmp_path / "a.csv").write_text("path,label\n")
    assert "is no pack" in refused("pack", *named, "--out", tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "path,label\n"
    nothing = tmp_path / "nothing"
    (nothing / "fingerprints").mkdir(parents=True)
    shutil.copy(run / "summary.json", nothing)
    (nothing / "fingerprints/_SUCCESS").touch()
    assert "nothing to pack" in refused("pack", "--run", nothing, *file)
    assert not file[1].exists()


def test_what_cannot_be_looked_for_is_told_before_spark_starts(run, packs, dump, tmp_path):
    known = "known", "--images", dump.images, "--out", tmp_path / "out", "--fingerprints"
    (tmp_path / "a.parquet").write_bytes((packs / "own.parquet").read_bytes()[:-100])
    assert "no pack that can be read" in refused(*known, tmp_path / "a.parquet")
    assert "does not exist" in refused(*known, tmp_path / "b.parquet")
    assert "has no finished table fingerprints" in refused(*known, dump.images)
    for fingerprints in (packs / "own.parquet", run):
        told = refused(*known, fingerprints, "--set", "method=paper")
        assert "of another method than paper" in told
    assert not (tmp_path / "out").exists()


def test_damaged_fingerprints_are_told(packs, tmp_path):
    rows = {row["kind"]: row for row in read_pack(packs / "both.parquet", SIDE)}
    wrong = {
        "without background": rows["lattice"] | {"background": None},
        "background has no gains": rows["lattice"] | {"background": bytes(4 + 4 + 3072)},
        "background is none": rows["lattice"] | {"background": b"123"},
        "whitened are no 1,536": rows["lattice"] | {"whitened": b"1234"},
        "without weights": rows[None] | {"weights": None},
        "kind 'other'": rows[None] | {"kind": "other"},
        "has no bar": rows[None] | {"reference_spread": 0.0},
        "is whitening.side as it was": rows[None] | {"whitened": rows[None]["whitened"][:-4]},
    }
    for said, row in wrong.items():
        write_pack([row], tmp_path / "pack.parquet")
        with pytest.raises(UsageError, match=f"no pack that can be read.*{said}"):
            read_pack(tmp_path / "pack.parquet", SIDE)
    one = rows[None]
    twice = [one, one]
    circle = [
        one | {"fingerprint_id": a, "state": "merged", "merged_into": b}
        for a, b in ("ab", "bc", "cb")
    ]
    for some, said in ((twice, "there twice"), (circle, "in a circle")):
        write_pack(some, tmp_path / "pack.parquet")
        with pytest.raises(UsageError, match=said):
            read_pack(tmp_path / "pack.parquet", SIDE)


def test_a_registrys_file_is_a_pack_and_its_states_hold(packs, tmp_path):
    one, lattice = sorted(
        read_pack(packs / "both.parquet", SIDE), key=lambda row: row["kind"] or ""
    )
    states = [
        one | {"fingerprint_id": "a", "state": "confirmed"},
        one | {"fingerprint_id": "b", "state": "merged", "merged_into": "a"},
        one | {"fingerprint_id": "c", "state": "retired"},
        lattice | {"fingerprint_id": "d", "state": "false alarm"},
        one | {"fingerprint_id": "e", "state": "merged", "merged_into": "c"},
    ]
    write_pack(states, tmp_path / "registry.parquet")
    known = known_fingerprints(str(tmp_path / "registry.parquet"), load_config())
    assert [row.fingerprint_id for row in known.rows if row.flagged] == ["a", "b"]
    assert [row.fingerprint_id for row in known.tested] == ["a", "a"]
    assert [row.fingerprint_id for row in known.false_alarms] == ["d"]


def test_a_file_of_an_earlier_version_is_read(packs, tmp_path):
    table = pq.read_table(packs / "own.parquet").drop_columns(["kind", "background", "tile_dense"])
    pq.write_table(table, tmp_path / "earlier.parquet")
    (row,) = read_pack(tmp_path / "earlier.parquet", SIDE)
    assert (row["kind"], row["background"]) == (None, None)


def test_single_images_of_any_size_are_scored_against_a_lattice(
    spark, packs, found, images, tmp_path, dump
):
    summary = find_known(spark, images, packs / "both.parquet", tmp_path)
    rows = verdicts_of(tmp_path)
    fake = sorted(dump.fakes)[0]
    status = {name: row["status"] for name, row in rows.items()}
    assert status.pop("small.png") == "unscored"
    assert status.pop("broken.png") == "quarantined"
    assert set(status.values()) == {"scored"} and len(status) == 7
    assert all(rows[name]["score"] is not None for name in status)
    assert {name for name in status if rows[name]["is_fake"]} == {fake, "larger-fake.png"}
    assert rows["larger-fake.png"]["fingerprint_id"] == found[1]
    assert rows["small.png"]["is_fake"] is None
    assert summary["counts"]["fake"] == 2
    assert {one["fingerprint_id"] for one in summary["fingerprints"]} == set(found)
    assert sum(one["carried"] for one in summary["fingerprints"]) == 2
    results = open_results(str(tmp_path))
    assert results.summary == json.loads(json.dumps(summary))
    assert results.table("fingerprints", ("flagged",))["flagged"].to_pylist() == [True, True]
    assert not (tmp_path / "unfinished.json").exists()
    # What was looked for can be packed again.
    again = pack(results, tmp_path / "again.parquet")
    assert {one["fingerprint_id"] for family in again for one in family} == set(found)


def test_a_crop_is_found_where_it_lies_with_spark_and_without(
    spark, packs, found, images, tmp_path
):
    folder, cropped = tmp_path / "crops", "lattice.cropped=true"
    folder.mkdir()
    for name in ("larger-fake.png", "real-3.png"):
        shutil.copy(images / name, folder)
        save(folder / f"crop-of-{name}", cv2.imread(str(images / name))[5:, 11:, ::-1])
    find_known(spark, folder, packs / "both.parquet", tmp_path / "out", cropped)
    rows = verdicts_of(tmp_path / "out")
    flagged = {
        name: (row["shift_x"], row["shift_y"]) for name, row in rows.items() if row["is_fake"]
    }
    assert flagged == {"larger-fake.png": (None, None), "crop-of-larger-fake.png": (11, 5)}
    assert rows["crop-of-larger-fake.png"]["fingerprint_id"] == found[1]
    config = load_config(None, [cropped])
    known = known_fingerprints(str(packs / "both.parquet"), config).tested
    test = methods.test_of([row for row in known if row.kind == "lattice"], config, True)
    for name, row in rows.items():
        pixels = cv2.imread(str(folder / name))[:, :, ::-1]
        _, tile = methods.extracted(np.ascontiguousarray(pixels), config).cells
        score = test(row["image_id"], (row["width"], row["height"]), None, tile)
        assert score.is_fake == row["is_fake"]
        if score.is_fake:
            assert (score.shift_x, score.shift_y) == flagged[name]
            assert score.score == pytest.approx(row["score"], rel=1e-6)


def test_a_run_and_its_pack_say_the_same(spark, run, packs, images, tmp_path):
    find_known(spark, images, run, tmp_path / "run")
    find_known(spark, images, packs / "own.parquet", tmp_path / "pack")
    assert verdict_rows(tmp_path / "run") == verdict_rows(tmp_path / "pack")
    # Nobody has found a fingerprint of such sizes, and yet they are scored.
    assert verdicts_of(tmp_path / "run")["real-2.png"]["status"] == "scored"


def test_a_run_does_not_look_for_its_own_fingerprints(spark, run, images):
    with pytest.raises(NoiseScopeError, match="is the run whose fingerprints are looked for"):
        find_known(spark, images, run, f"{run}/")


def test_the_command_looks_in_one_pass(packs, images, tmp_path, monkeypatch, spark):
    import noisescope_core.cli.known as command
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.tables.run import Run

    class Session:
        """The session of the tests, which goes on after the command."""

        def __getattr__(self, name):
            return (lambda: None) if name == "stop" else getattr(spark, name)

    def open_run(out, config, locations):
        run = Run(spark, str(out))
        object.__setattr__(run, "spark", Session())
        return run, Progress(spark, Console(file=io.StringIO()))

    monkeypatch.setattr(command, "open_run", open_run)
    options = ["--fingerprints", packs / "both.parquet", "--out", tmp_path / "out"]
    done = noisescope("known", "--images", images, *options)
    assert done.exit_code == 0, done.stderr
    assert "2 of 7 images carry a known fingerprint." in done.stdout
    assert done.stdout.endswith(f"Verdicts: {tmp_path / 'out/verdicts'}\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copy(images / "broken.png", broken)
    done = noisescope("known", "--images", broken, *options, "--quiet")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "nothing could be scored" in done.stderr
