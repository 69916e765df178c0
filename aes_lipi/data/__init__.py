"""Data sets: generated binary clusters, and a user's own matrices."""

from aes_lipi.arrays import Float32
from aes_lipi.data.binary_clustering import (
    PAPER_DATASETS,
    BinaryClustering,
    TestNoise,
    generate,
)
from aes_lipi.data.create import create_paper_datasets, save
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.data.files import file_digest, load_file, read_matrix
from aes_lipi.data.scaling import Scale

__all__ = [
    "PAPER_DATASETS",
    "BinaryClustering",
    "Dataset",
    "Float32",
    "Scale",
    "Split",
    "TestNoise",
    "create_paper_datasets",
    "file_digest",
    "generate",
    "load_file",
    "read_matrix",
    "save",
]
