"""Files on disk in a published format -> one `Corpus` (table, labels with masks, image store)."""

from affect_core.corpora.combined import combine_corpora
from affect_core.corpora.corpus import Corpus, available_corpora, describe, open_corpus
from affect_core.corpora.fer import ferplus_distributions, ferplus_votes
from affect_core.corpora.fetching import fetch_faces
from affect_core.corpora.image_decoding import UnusableImageError, decode_image, read_image
from affect_core.corpora.image_store import ImageStore, open_image_store
from affect_core.corpora.packed import open_packed, pack_corpus
from affect_core.corpora.problems import BadRowsError, Problem
from affect_core.corpora.shard_stream import ShardStream
from affect_core.corpora.webdataset_packing import pack_shards
from affect_core.corpora.webdataset_shards import write_shards

__all__ = [
    "BadRowsError",
    "Corpus",
    "ImageStore",
    "Problem",
    "ShardStream",
    "UnusableImageError",
    "available_corpora",
    "combine_corpora",
    "decode_image",
    "describe",
    "ferplus_distributions",
    "ferplus_votes",
    "fetch_faces",
    "open_corpus",
    "open_image_store",
    "open_packed",
    "pack_corpus",
    "pack_shards",
    "read_image",
    "write_shards",
]
