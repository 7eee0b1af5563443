"""Benchmark a method of your own beside those of the recipe: its answers kept as a layer, and scored.

Run it with `python examples/02_benchmark_your_method.py [DIR]`; without DIR it works in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import corpuscle
from corpuscle.bench.board import rank
from corpuscle.bench.run import benchmark
from corpuscle.blocks.engines.local import Local
from corpuscle.core import Image
from corpuscle.recipe import build
from corpuscle.recipes import load


def mine(plane: NDArray[Any]) -> NDArray[Any]:
    """The method under test: pixels in, labels out, background 0."""
    smooth = ndimage.gaussian_filter(plane.astype(np.float32), 1.5)
    labels, _ = ndimage.label(smooth > smooth.mean() + smooth.std())
    return np.asarray(labels)


def main(folder: Path) -> None:
    recipe = load("nuclei")
    recipe.fake(folder / "raw", size="tiny", seed=2)
    with Local(1) as engine:
        build(recipe, folder / "raw", folder / "corpus", engine=engine)

    # From here on it is the same for any corpus. A guess at the layer `nuclei` is called `nuclei@something`.
    # It lies where its truth lies, and says which image its labels belong to.
    corpus = corpuscle.open(folder / "corpus")
    for name in corpus:
        record = corpus[name]
        if "nuclei" in record.layers:
            raw, truth = record.image("raw"), record.image("nuclei")
            plane = raw.read()[0] if "c" in raw.space.axes else raw.read()
            corpus.put(name, "nuclei@mine", Image(mine(plane), truth.space, labels_of="raw"))

    # Every guess is scored, over each part of each split; the recipe has tasks for foreground and outlines too.
    # Intervals come from drawing whole wells, because the fields of one well are not independent.
    # On the command line: corpuscle bench DIR/corpus
    tasks = [task for task in recipe.tasks if task.name == "nuclei"]
    with Local(1) as engine:
        found = benchmark(corpus, tasks, engine=engine)

    for place, row in rank((r for r in found.rows if r.split == "all"), by="f1@.50"):
        score = row.score("f1@.50")
        print(f"{place}. {row.guess:24} F1@0.5 {score.value:.3f} [{score.low:.3f}, {score.high:.3f}]  {row.metric}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
