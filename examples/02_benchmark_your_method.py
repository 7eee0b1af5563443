"""Benchmark a method of your own beside those of the recipe: a function of pixels, run over a corpus and scored.

Run it with `python examples/02_benchmark_your_method.py [DIR]`; without DIR it works in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.bench.board import rank
from corpuscle.bench.run import benchmark
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.run import Conditions, run
from corpuscle.blocks.step import Whole
from corpuscle.corpus.corpus import Corpus
from corpuscle.recipe import build
from corpuscle.recipes import load
from corpuscle.recipes.nuclei import annotated, labelled
from corpuscle.store.ledger import Ledger, beside


def mine(plane: NDArray[Any], *, sigma: float) -> NDArray[Any]:
    """The method under test: pixels in, labels out, background 0."""
    smooth = ndimage.gaussian_filter(plane.astype(np.float32), sigma)
    labels, _ = ndimage.label(smooth > smooth.mean() + smooth.std())
    return np.asarray(labels)


def main(folder: Path) -> None:
    recipe = load("nuclei")
    recipe.fake(folder / "raw", size="tiny", seed=2)
    with Local(1) as engine:
        build(recipe, folder / "raw", folder / "corpus", engine=engine)
        corpus = Corpus.open(folder / "corpus")

        # From here on it is the same for any corpus. A guess at the layer `nuclei` is called `nuclei@something`.
        # Parameters are bound with `partial`, so that they can be written down: they are part of the layer's history.
        step = Whole(partial(labelled, method=partial(mine, sigma=1.5)), "raw", "nuclei@mine", when=annotated)
        with Ledger(beside(corpus.root)) as ledger:
            run([step], corpus.shelf, Conditions(engine, ledger))

        # Every guess is scored by every task of the recipe, over each part of each split.
        # Intervals come from drawing whole wells, because the fields of one well are not independent.
        found = benchmark(Corpus.open(corpus.root), recipe.tasks, engine=engine)

    for place, row in rank((r for r in found.rows if r.task == "nuclei" and r.split == "all"), by="f1@.50"):
        score = row.score("f1@.50")
        print(f"{place}. {row.guess:24} F1@0.5 {score.value:.3f} [{score.low:.3f}, {score.high:.3f}]  {row.metric}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
