"""How large the image files of a corpus are, in pixels, and which cannot be opened any more; their heads are read."""

from __future__ import annotations

import pandas as pd
from PIL import Image

from affect_core.corpora.corpus import Corpus
from affect_core.progress import Progress


def sizes_of_files(corpus: Corpus, progress: Progress) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """(table of width, height and how many images have it, the most frequent first; files that cannot be opened).

    (None, ()) for a corpus without image files.
    """
    if corpus.root is None:
        return None, ()
    counts: dict[tuple[int, int], int] = {}
    unreadable = []
    with progress(len(corpus), "image sizes") as bar:
        for image in corpus.table["image"]:
            try:
                with Image.open(corpus.root / image) as file:
                    counts[file.size] = counts.get(file.size, 0) + 1
            except OSError:
                unreadable.append(image)
            bar.update()
    sizes = pd.DataFrame([(*size, number) for size, number in counts.items()], columns=["width", "height", "images"])
    return sizes.sort_values("images", ascending=False, ignore_index=True), tuple(unreadable)
