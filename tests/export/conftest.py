"""Small studies to export from."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_tables import own_data, write_table
from studies import run_study


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "table.parquet"
    write_table(path)
    return path


@pytest.fixture(scope="session")
def study(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a study."""
    folder = tmp_path_factory.mktemp("own") / "study"
    run_study(own_data(table), folder)
    return folder
