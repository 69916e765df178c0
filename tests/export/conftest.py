"""Small studies to export from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from own_tables import own_data, write_table
from studies import run_study

from aes_lipi.export import FORMATS, Exported, export, package


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


@pytest.fixture(scope="session", autouse=True)
def _few_measurements() -> Iterator[None]:
    """Latencies are told of two short rounds, which is enough to see that they are told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "_ROUNDS", 2)
        patch.setattr(package, "_ROUND_S", 1e-4)
        yield


@pytest.fixture(scope="session")
def exports(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Exported]:
    """A recorded model of the study, compacted, by format."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: export(
            study, target_capacity=0.7, compact=True, format_name=name, output_dir=folder / name
        )
        for name in FORMATS
    }
