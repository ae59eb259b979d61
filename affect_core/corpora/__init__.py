"""Files on disk in a published format -> one `Corpus` (table, labels with masks, image store)."""

from affect_core.corpora.corpus import Corpus, available_corpora, describe, open_corpus
from affect_core.corpora.image_decoding import UnusableImageError, decode_image, read_image
from affect_core.corpora.image_store import ImageStore, open_image_store
from affect_core.corpora.packed import open_packed, pack_corpus
from affect_core.corpora.problems import BadRowsError, Problem

__all__ = [
    "BadRowsError",
    "Corpus",
    "ImageStore",
    "Problem",
    "UnusableImageError",
    "available_corpora",
    "decode_image",
    "describe",
    "open_corpus",
    "open_image_store",
    "open_packed",
    "pack_corpus",
    "read_image",
]
