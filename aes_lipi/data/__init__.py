"""Data sets: generated binary clusters, and a user's own matrices."""

from aes_lipi.data.binary_clustering import create_paper_datasets
from aes_lipi.data.columnar import save
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.data.load import load_dataset
from aes_lipi.data.plugged import dataset_of
from aes_lipi.data.scaling import Scaling

__all__ = [
    "Dataset",
    "Scaling",
    "Split",
    "create_paper_datasets",
    "dataset_of",
    "load_dataset",
    "save",
]
