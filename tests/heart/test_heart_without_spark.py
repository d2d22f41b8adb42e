"""The heart works where pyspark is absent."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "noisescope_core"
ABSENT = "import sys; sys.modules['pyspark'] = None\n"

HEART = """
import importlib, pkgutil
import numpy as np
import noisescope_core
path, prefix = noisescope_core.__path__, "noisescope_core."
for module in pkgutil.walk_packages(path, prefix, onerror=lambda name: None):
    if not module.name.startswith("noisescope_core.spark"):
        importlib.import_module(module.name)
from noisescope_core.paper.clustering import cluster_residuals
from noisescope_core.residual import noise_residual
rng = np.random.default_rng(0)
pattern = rng.normal(0, 3, (64, 64, 1))
images = rng.normal(128, 3, (12, 64, 64, 3)) + pattern
stack = np.stack([noise_residual(np.clip(i, 0, 255).astype(np.uint8)) for i in images])
flagged = cluster_residuals(stack, 25.0, lambda c: [True] * len(c), classify_above=5).flagged
print(flagged)
from noisescope_core.correlation.spectra import spectra
from noisescope_core.paper.detector import detection_threshold, score_images
others = [noise_residual(rng.integers(125, 131, (64, 64, 3)).astype(np.uint8)) for _ in range(9)]
fingerprint = spectra([stack[list(flagged[0])].mean(axis=0)])
bar = detection_threshold(score_images(others, fingerprint)[0])
print((score_images(stack, fingerprint)[0] > bar).sum())
"""


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", ABSENT + code, *arguments], capture_output=True, text=True
    )


def test_finds_a_pattern_without_pyspark():
    done = python(HEART)
    said = ["[(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]", "12"]
    assert done.stdout.splitlines() == said, done.stderr


def test_detect_without_pyspark_says_what_to_install(tmp_path):
    code = "from noisescope_core.cli import main; main()"
    folder = str(tmp_path)
    done = python(
        code, "detect", "--images", folder, "--reference", folder, "--out", f"{folder}-run"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("noisescope: pyspark is not installed: pip install")
    assert len(done.stderr.splitlines()) == 1


def test_only_the_glue_imports_spark():
    for file in PACKAGE.rglob("*.py"):
        if "spark" in file.relative_to(PACKAGE).parts:
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith(("pyspark", "noisescope_core.spark")), (file, name)
