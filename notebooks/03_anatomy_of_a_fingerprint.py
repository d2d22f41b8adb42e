# Databricks notebook source
# MAGIC %md
# MAGIC # Anatomy of a fingerprint
# MAGIC
# MAGIC What NoiseScope rests on, step by step and on arrays, with the figures that its paper
# MAGIC argues with (Pu, Mangaokar, Wang, Reddy, Viswanath, ACSAC 2020,
# MAGIC [doi](https://doi.org/10.1145/3427228.3427285)), drawn of simulated images. Sections are
# MAGIC the paper's. No Spark takes part; 20 seconds on a laptop.
# MAGIC
# MAGIC The same file is for Databricks (serverless too), for Jupyter, and for
# MAGIC `python notebooks/03_anatomy_of_a_fingerprint.py`. The next cell is for Databricks alone:
# MAGIC put the wheel of `make wheel` into a volume and name it there.

# COMMAND ----------

# MAGIC %pip install /Volumes/main/default/noisescope/noisescope-0.1.0-py3-none-any.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC On Databricks they are widgets, elsewhere environment variables such as `NOISESCOPE_SIZE`.

# COMMAND ----------

from dataclasses import replace

import cv2
import numpy as np

from noisescope_core import api
from noisescope_core.correlation.pairs import pce_between
from noisescope_core.correlation.spectra import spectra
from noisescope_core.fingerprint import reference_blocks
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.simulate import World, simulated_image

asked = api.parameters(globals().get("dbutils"), size=128, images=100, photographs=120)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Images
# MAGIC Two networks and four cameras, each drawn at random; every image shows another scene.
# MAGIC Images of the networks come in turn, so every second is of the same one. The cameras'
# MAGIC photographs were compressed, cropped and reduced, as uploads are. The border is cut off:
# MAGIC padding leaves lines there that both networks share.

# COMMAND ----------

BORDER = 16
side = asked["size"] + 2 * BORDER
world = World(seed=0, cameras=4, generators=2, width=side, height=side)


def simulated(kind, count, of=world):
    """Make the first images of a kind: (count, side, side, 3) uint8."""
    return np.stack([simulated_image(of, kind, number)[0] for number in range(count)])


def residuals(images):
    """Noise residuals without the border: (n, size, size) float32."""
    return np.stack([api.noise_residual(one)[BORDER:-BORDER, BORDER:-BORDER] for one in images])


generated = simulated("generated", 2 * asked["images"])
photographs = simulated("photograph", asked["photographs"])
made, taken = residuals(generated), residuals(photographs)
first, second = made[::2], made[1::2]

# COMMAND ----------

# MAGIC %md
# MAGIC ## Noise residuals (section 3.1)
# MAGIC What a wavelet filter takes for noise in an image. Below each residual its power spectrum,
# MAGIC zero frequency in the middle.

# COMMAND ----------

shown = {"a photograph": taken[0], "first generator": first[0], "second generator": second[0]}
api.show(api.plot_residuals(shown, [photographs[0], generated[0], generated[1]]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Fingerprints (section 3.3)
# MAGIC The mean over many images: what differs from image to image goes, what the maker leaves in
# MAGIC each stays. Each network leaves a pattern of its own. Photographs of one camera, cropped
# MAGIC and reduced each in its own way, leave next to nothing.

# COMMAND ----------

camera = taken[::4]
api.show(api.plot_residuals({
    f"first generator, {len(first)} images": first.mean(0),
    f"second generator, {len(second)} images": second.mean(0),
    f"a camera, {len(camera)} photographs": camera.mean(0),
}))  # fmt: skip

# COMMAND ----------

# MAGIC %md
# MAGIC The picture clears up as more images are averaged: noise falls with the root of their
# MAGIC number.

# COMMAND ----------

counts = [count for count in (1, 3, 10, 50) if count <= len(first)]
api.show(api.plot_residuals({
    f"{count} image{'s' * (count > 1)}": first[:count].mean(0) for count in counts
}))  # fmt: skip

# COMMAND ----------

# MAGIC %md
# MAGIC ## Pairs (section 3.2)
# MAGIC The peak-to-correlation energy (PCE) of two residuals: the square of their correlation in
# MAGIC place, over its mean square at all other shifts. Two images of one generator have more than
# MAGIC two of different makers, or than two photographs. Many pairs have little more: hence
# MAGIC clusters and means.

# COMMAND ----------

few, fewer = first[:40], taken[:40]
api.show(api.plot_distributions({
    "pairs within a generator": api.pce_matrix(few)[np.tril_indices(len(few), -1)],
    "across generators": pce_between(spectra(few), spectra(second[:40])),
    "between photographs": api.pce_matrix(fewer)[np.tril_indices(len(fewer), -1)],
}))  # fmt: skip

# COMMAND ----------

# MAGIC %md
# MAGIC One image against the mean of the others: a peak at no shift, and the line through it.

# COMMAND ----------

api.show(api.plot_surface(api.correlation_surface(first[0], first[1:].mean(0))))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Texture (section 3.4)
# MAGIC Photographs that happen to be alike have a mean too. What tells a generator's is its
# MAGIC texture: 13 Haralick features, and the local outlier factor of these among fingerprints of
# MAGIC photographs. Below 0 a fingerprint is taken for a generator's.

# COMMAND ----------

BLOCK = 10
known, unseen = np.split(taken, [2 * len(taken) // 3])


def texture(stack, shuffles):
    """Haralick features of fingerprints of BLOCK images each."""
    blocks = reference_blocks(len(stack), BLOCK, shuffles)
    return [api.haralick_features(stack[rows].mean(0)) for rows in blocks]


model = fit_texture(texture(known, 5), neighbours=15)
margins = {
    "fingerprints of generators": texture(first, 2) + texture(second, 2),
    "of photographs, others than those fitted": texture(unseen, 5),
}
margins = {name: texture_margins(model, features) for name, features in margins.items()}
api.show(api.plot_distributions(margins, "margin", threshold=0, square_root=False))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Detection (section 3.5)
# MAGIC Each image's PCE with a fingerprint, which is made of the first half of a generator's
# MAGIC images and tested on the second. The threshold is the 99.5th percentile of photographs
# MAGIC known to be real; of so few, one that strays sets it.

# COMMAND ----------

half = len(first) // 2
fingerprint = spectra(first[:half].mean(0)[None])
groups = {
    "images of that generator": first[half:],
    "of the other generator": second,
    "photographs": unseen,
    "reference photographs": known,
}
scores = {name: pce_between(spectra(stack), fingerprint)[:, 0] for name, stack in groups.items()}
threshold = api.detection_threshold(scores["reference photographs"])
above = {name: float((values > threshold).mean().round(3)) for name, values in scores.items()}
api.show(api.plot_distributions(scores, "score", threshold), above)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The whole search
# MAGIC What `noisescope detect` does through Spark, on arrays: files in, verdicts and fingerprints
# MAGIC out, by the default method. The images of the first generator lie among photographs, and
# MAGIC nothing says which they are.

# COMMAND ----------


def files(name, images):
    """Write images as PNG, in memory: contents by name."""
    bgr = images[:, BORDER:-BORDER, BORDER:-BORDER, ::-1]
    return {f"{name}-{k}.png": cv2.imencode(".png", one)[1].tobytes() for k, one in enumerate(bgr)}


split = 2 * len(photographs) // 3
judged = api.detect_in_memory(
    files("generated", generated[::2]) | files("photograph", photographs[split:]),
    files("reference", photographs[:split]),
)
flagged = [verdict.path for verdict in judged.verdicts if verdict.is_fake]
api.show(
    {pattern.fingerprint_id: (pattern.maker, pattern.images) for pattern in judged.fingerprints},
    {kind: sum(path.startswith(kind) for path in flagged) for kind in ("generated", "photograph")},
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where the pattern comes from: layers
# MAGIC Three networks that differ in how they enlarge their layers and in nothing else; the noise
# MAGIC that they add to every image alike is off. The errors of a transposed convolution differ
# MAGIC between the pixels of its stride: what it leaves repeats, and stands as points in the
# MAGIC spectrum. Nearest neighbours leave blocks. After bilinear interpolation next to nothing is
# MAGIC left but a spectrum that is not that of a camera.

# COMMAND ----------

layers = {"transposed convolution": "transposed", "nearest neighbour": "nearest",
          "bilinear": "bilinear"}  # fmt: skip
plain = replace(world, generators=1, fixed_noise=False)
means = {
    name: residuals(
        simulated("generated", asked["images"], replace(plain, upsampling=upsampling))
    ).mean(0)
    for name, upsampling in layers.items()
}
api.show(api.plot_residuals(means))
