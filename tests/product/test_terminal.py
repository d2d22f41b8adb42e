"""The command line without Spark: help, mistakes, completion, results and progress."""

import contextlib
import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from noisescope_core.app import progress
from noisescope_core.app.places import make_folder
from noisescope_core.app.progress import Stage
from noisescope_core.cli import SECTIONS, main
from noisescope_core.cli.shared.inputs import check_apart
from noisescope_core.cli.shared.options import FOLDER
from noisescope_core.config import load_config
from noisescope_core.errors import UsageError

ROOT = Path(__file__).parents[2]


def noisescope(*arguments, **environment):
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


def commands(command=main, path="noisescope"):
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, f"{path} {name}")


EXAMPLES = [
    (path, example)
    for path, command in commands()
    for example in (command.epilog or "").replace("\\\n", " ").splitlines()
]


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda value: str(value)[:30])
def test_help_lists_every_option_and_ends_with_examples(path, command):
    done = noisescope(*path.split()[1:], "--help")
    assert done.exit_code == 0
    options, _, examples = done.stdout.partition("\nExamples:\n")
    for option in command.params:
        assert not isinstance(option, click.Option) or option.opts[0] in options
    assert re.findall(rf"^ .*{path}", examples, flags=re.M)


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_examples_are_commands_that_parse(path, example):
    quoted = re.search(r"\$\((.*)\)", example)
    arguments = shlex.split((quoted[1] if quoted else example).split(" > ")[0])
    assert arguments.pop(0) == "noisescope"
    command = main
    while isinstance(command, click.Group) and arguments[0] in command.commands:
        command = command.commands[arguments.pop(0)]
    if "--help" in arguments:
        return
    values = command.make_context(path, arguments).params
    load_config(None, values.get("settings", ()))
    for word in arguments:
        assert not word.startswith("conf/") or (ROOT / word).exists()


def test_the_way_of_the_data_is_the_order_of_the_commands():
    said = noisescope("--help").stdout
    titles = [title for title, names in SECTIONS.items() if set(names) & set(main.commands)]
    assert re.findall(r"^(\w.*):$", said, flags=re.M) == ["Options", *titles, "Examples"]
    assert {name for names in SECTIONS.values() for name in names} >= set(main.commands)
    assert re.findall(r"^  (doctor|simulate|detect|plan) ", said, flags=re.M)[:3] == [
        "doctor", "simulate", "detect",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["detect"], "Missing option '--images'; see noisescope detect --help"),
        (["detct"], "No such command 'detct'. Did you mean 'detect'?"),
        (["registry", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["detect", "--imags", "x"], "No such option '--imags'. Did you mean '--images'?"),
        (["simulate", "--out", "x", "--seed", "a"], "'a' is not a valid integer; see noisescope"),
        (["completion", "ksh"], "'ksh' is not one of 'bash', 'zsh', 'fish'"),
        (["evaluate", "--json"], "Missing option '--verdicts'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, said):
    done = noisescope(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("noisescope: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize("inner", ["", "/run", "/../images/run"])
@pytest.mark.parametrize("command", ["detect", "known", "scan"])
def test_what_is_written_does_not_lie_among_what_is_read(tmp_path, command, inner):
    images = tmp_path / "images"
    for folder in ("images", "reference", "images-2"):
        (tmp_path / folder).mkdir()
    out = f"{images}{inner}"
    reference = ["--reference", tmp_path / "reference"]
    more, option = {
        "detect": (reference, "--out"),
        "known": (["--fingerprints", tmp_path / "reference"], "--out"),
        "scan": (reference, "--tables"),
    }[command]
    done = noisescope(command, "--images", images, *more, option, out)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"noisescope: {option}: {out} lies in {images} (--images)")
    assert done.stderr.count("\n") == 1
    assert list(images.iterdir()) == []


def test_a_neighbour_of_the_images_is_a_place_to_write():
    check_apart("--out", "/data/images-2", {"--images": "/data/images", "--reference": None})
    check_apart("--out", "s3a://bucket/run", {"--images": "/data/images"})
    with pytest.raises(UsageError, match="name a folder outside"):
        check_apart("--out", "s3a://bucket/images/run", {"--images": "s3a://bucket/images/"})


def test_where_nothing_can_be_written_is_told_before_anything_starts(tmp_path):
    for folder in ("images", "reference"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").touch()
    given = "--images", tmp_path / "images", "--reference", tmp_path / "reference"
    for out in (tmp_path / "file", tmp_path / "file/run", "/proc/run"):
        done = noisescope("detect", *given, "--out", out)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"noisescope: --out: {out} cannot be written to (")


@pytest.mark.parametrize("more", [[], ["--run", ".", "--tables", "."]])
def test_an_explanation_is_of_a_run_or_of_tables(more):
    done = noisescope("explain", "a.png", *more)
    assert done.exit_code == 2
    assert "explain: name a --run or --tables" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "export --format csv --run {run} --out", "pack --run {run} --out",
        "explain {run}/a.png --run {run} --html", "explain {run}/a.png --run {run} --figure",
        "registry export --tables {run}", "registry show 3f9ac0 --tables {run} --out",
        "experiment page {run} --out",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_told_before_anything_is_read(tmp_path, command):
    # The run is none: whoever read it first would say so.
    (tmp_path / "fingerprints").mkdir()
    (tmp_path / "a.png").touch()
    for out in (tmp_path / "fingerprints", tmp_path / "a.png/out", "/proc/out"):
        done = noisescope(*command.format(run=tmp_path).split(), out)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert re.search("cannot be written|is a folder", done.stderr), done.stderr


def test_a_folder_that_takes_no_files_is_told(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"cannot be written to \(Permission denied\)"):
        make_folder(str(tmp_path), "--out")


def test_the_home_folder_is_meant_where_the_shell_left_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    done = noisescope("detect", "--images=~/nowhere", "--reference=~/x", "--out=~/out")
    assert done.stderr.startswith(f"noisescope: --images: {tmp_path}/nowhere does not exist")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    location = FOLDER.convert("~", None, None)
    assert (location, FOLDER.convert("s3a://b/~", None, None)) == ("~", "s3a://b/~")


def test_any_name_can_be_printed_whatever_the_encoding():
    said = "from noisescope_core.cli.shared.errors import say_anything; say_anything(); "
    names = "print('No generator\\u2019s: \\u5199.png, b\\udcff.png')"
    for encoding in ("ascii", "latin-1", "cp1252"):
        done = subprocess.run(
            [sys.executable, "-c", said + names], capture_output=True, check=True,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        text = done.stdout.decode(encoding).replace("\u2019", "'")
        assert text == "No generator's: \\u5199.png, b\\udcff.png\n"


def test_what_is_there_is_named_beside_what_is_not(tmp_path):
    (tmp_path / "my/folder/2024").mkdir(parents=True)
    (tmp_path / "mine.yaml").touch()
    folder = tmp_path / "my/folder"
    for arguments, said in (
        (["--images", tmp_path / "my/foldr/2024"], f"did you mean {folder / '2024'}?"),
        (["--images", folder / "images"], "images does not exist\n"),
        (["--images", folder, "--config", tmp_path / "mein.yaml"], "mine.yaml?"),
    ):
        done = noisescope("plan", *arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
    for tables, said in (("mi", "does not exist"), ("my", "holds no tables")):
        done = noisescope("registry", "list", "--tables", tmp_path / tables)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml", "my"]


@pytest.fixture
def judged(tmp_path):
    rows = {
        "path": ["/d/a.png", "/d/b.png", "/d/c.png"],
        "status": ["scored", "scored", "quarantined"],
        "is_fake": [True, False, None],
    }
    (tmp_path / "verdicts").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "verdicts/part-0.parquet")
    (tmp_path / "labels.csv").write_text("path,label\na.png,fake\nb.png,fake\nc.png,broken\n")
    return ["--verdicts", tmp_path / "verdicts", "--labels", tmp_path / "labels.csv"]


def test_evaluate_as_json(judged):
    result = json.loads(noisescope("evaluate", *judged, "--json").stdout)
    assert (result["tp"], result["fn"], result["recall"], result["f1"]) == (1, 1, 0.5, 2 / 3)


def test_evaluate_as_a_table(judged, tmp_path):
    done = noisescope("evaluate", "--verdicts", tmp_path, *judged[2:])
    assert "precision 1.0000   recall 0.5000   F1 0.6667" in done.stdout
    assert "1 files labelled neither fake nor real" in done.stdout
    assert "\x1b" not in done.output


def test_evaluate_names_what_is_missing(judged, tmp_path):
    for folder, said in (
        (tmp_path / "verdict", f"does not exist; did you mean {tmp_path / 'verdicts'}?"),
        (tmp_path / "labels.csv", "holds no verdicts ("),
    ):
        done = noisescope("evaluate", "--verdicts", folder, *judged[2:])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


def test_simulate_says_what_it_made(tmp_path):
    small = "--photographs", 2, "--generated", 1, "--reference", 1, "--size", "96x64", "--no-broken"
    done = noisescope("simulate", "--out", tmp_path / "dump", *small)
    assert done.exit_code == 0, done.output
    assert "4 images, " in done.stderr and "images/s" in done.stderr
    assert len(list((tmp_path / "dump/images").iterdir())) == 3
    again = noisescope("simulate", "--out", tmp_path / "dump", "--json")
    assert (again.exit_code, again.stdout, again.stderr.count("\n")) == (2, "", 1)
    assert "not an empty folder" in again.stderr
    assert noisescope("simulate", "--out", tmp_path / "x", "--size", "big").exit_code == 2
    quiet = noisescope("simulate", "--out", tmp_path / "q", *small, "--quiet")
    assert quiet.stderr == "" and "2 photographs" in quiet.stdout
    told = json.loads(noisescope("simulate", "--out", tmp_path / "j", *small, "--json").stdout)
    assert told["counts"]["images"] == 3 and Path(told["labels.csv"]).exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_asks_this_program(shell):
    done = noisescope("completion", shell)
    assert done.exit_code == 0
    assert f"_NOISESCOPE_COMPLETE={shell}_complete" in done.stdout
    assert shell != "bash" or "*= ]] && compopt -o nospace" in done.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("noisescope det", ["plain,detect"]),
        ("noisescope detect --im", ["plain,--images"]),
        ("noisescope detect --images my/", ["dir,my/"]),
        ("noisescope experiment run conf/", ["file,conf/"]),
        ("noisescope detect --set whitening.s", ["plain,whitening.side="]),
        ("noisescope simulate --upsampling n", ["plain,nearest"]),
    ],
)
def test_what_is_typed_is_completed(line, offered):
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = noisescope(**asked, _NOISESCOPE_COMPLETE="bash_complete")
    assert done.stdout.split() == offered


def test_help_loads_nothing_heavy():
    heavy = {"pyspark", "numpy", "numba", "sklearn", "matplotlib", "cv2", "pyarrow", "pydantic"}
    code = f"import sys, noisescope_core.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "set()\n"


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines_of(clock, steps, error=None):
    """What a stage of 100 images says in a pipe: seconds, shares done, shares running."""
    clock[0] = 100.0
    said = io.StringIO()
    with (
        contextlib.suppress(OSError, UsageError),
        Stage(Console(file=said), "extract", 100, "images") as stage,
    ):
        for seconds, share, running in steps:
            clock[0] = 100 + seconds
            stage.advance_to(share, running)
        stage.done("100 files")
        if error:
            raise error
    return [" ".join(line.split()) for line in said.getvalue().splitlines()]


def test_a_pipe_is_told_rate_and_time_left_now_and_then(clock):
    steps = [(5, 0.1, 0.1), (20, 0.4, 0.2), (25, 0.5, 0.2), (50, 1, 0)]
    assert lines_of(clock, steps) == [
        # The fifth that runs is taken to be half done.
        "extract: 40 of 100 images, 2.5 images/s, about 20 s left",
        "extract 50.0 s 100 files, 2.0 images/s",
    ]


def test_time_left_is_not_told_before_it_can_be_known(clock):
    first, last = lines_of(clock, [(20, 0.1, 0.4), (30, 1, 0)])
    assert first == "extract: 10 of 100 images"
    # What begins anew has a clock of its own.
    first, second, last = lines_of(clock, [(50, 0.5, 0), (100, 0, 0.1), (120, 0.8, 0.1)])
    assert "about 50 s left" in first
    assert second == "extract: 80 of 100 images, 1.2 images/s, about 12 s left"
    assert last.startswith("extract 120.0 s")


def test_a_stage_that_failed_says_so_but_not_of_a_mistake(clock):
    assert lines_of(clock, [(3, 0.2, 0)], OSError("gone")) == ["extract 3.0 s failed"]
    assert lines_of(clock, [(3, 0.2, 0)], UsageError("wrong")) == []


def test_without_a_console_the_logger_alone_is_told(clock, caplog, capfd):
    def run():
        with Stage(None, "extract", 100, "images") as stage:
            clock[0] += 20
            stage.advance_to(0.4, 0.2)
            stage.finish("tables")
            stage.done("100 files")

    # Whatever another test has set.
    caplog.set_level(logging.WARNING, "noisescope")
    run()
    assert caplog.messages == []
    with caplog.at_level(logging.INFO, "noisescope"):
        run()
    assert [" ".join(line.split()) for line in caplog.messages] == [
        "extract: started, 100 images",
        "extract: 40 of 100 images, 2.5 images/s, about 20 s left",
        "extract: tables",
        "extract 20.0 s 100 files, 5.0 images/s",
    ]
    assert capfd.readouterr() == ("", "")


def test_the_logger_is_told_what_a_live_line_shows(clock, caplog, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Console(file=io.StringIO(), force_terminal=True)
    with caplog.at_level(logging.INFO, "noisescope"), Stage(terminal, "cluster") as stage:
        stage.note("64 x 64")
        stage.done("2 clusters")
    assert [" ".join(line.split()) for line in caplog.messages] == [
        "cluster: started", "cluster: 64 x 64", "cluster 0.0 s 2 clusters",
    ]  # fmt: skip


def test_a_terminal_shows_rate_time_left_and_what_is_done(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    said = io.StringIO()
    terminal = Console(file=said, force_terminal=True, width=100)
    with Stage(terminal, "correlate", 100, "pairs") as stage:
        clock[0] += 10
        stage.advance_to(0.5)
        stage.note("64 x 64")
    assert "50%" in said.getvalue()
    assert "5.0 pairs/s, about 10 s left, 64 x 64" in said.getvalue()
    said = io.StringIO()
    with Stage(Console(file=said, force_terminal=True, quiet=True), "list") as stage:
        stage.note("files")
    assert said.getvalue() == ""
