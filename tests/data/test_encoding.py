"""Tables as they are: columns taken, text and missing values encoded, or refused all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_tables import load_file, penguins

from aes_lipi.config import Variant
from aes_lipi.data.columns import MOST_CATEGORIES
from aes_lipi.data.dataset import DataPurpose, data_stream
from aes_lipi.data.encoding import Column, Encoding
from aes_lipi.data.load import labels_of_test_rows
from aes_lipi.errors import UserError

ENCODED = (
    *("species=Adelie", "species=Chinstrap", "species=Gentoo", "island=Biscoe", "island=Dream"),
    *("bill", "mass", "sex=female", "sex=male", "year"),
)
TABLE: dict[str, Any] = {"one_hot": True, "impute": "median"}
WHOLE: dict[str, Any] = {"scale": "minmax", **TABLE}


@pytest.fixture(
    params=[
        *("csv", "csv with semicolons"),
        *("parquet", "parquet with categories", "parquet with large_string"),
        "parquet with string_view",
    ]
)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    table, kind = penguins(), str(request.param)
    path = tmp_path / f"penguins.{kind.partition(' ')[0]}"
    if kind == "parquet with categories":
        table = table.astype({"island": "category", "species": "category"})
    if kind.partition(" with ")[2] in ("large_string", "string_view"):
        of_text = pa.large_string() if "large" in kind else pa.string_view()
        arrow = pa.Table.from_pandas(table)
        fields = [
            pa.field(each.name, of_text) if pa.types.is_large_string(each.type) else each
            for each in arrow.schema
        ]
        pq.write_table(arrow.cast(pa.schema(fields)), path)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep=";" if kind.endswith("semicolons") else ",")
    return path


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_file(path, **settings)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_table_with_text_and_holes_is_encoded_whatever_it_is_written_in(written: Path) -> None:
    dataset, table = load_file(written, **WHOLE), penguins()
    assert dataset.columns == ENCODED
    assert dataset.encoding is not None
    assert dataset.scaling is not None
    assert ", 0 constant, " in dataset.read
    assert dataset.read.endswith(", 3 of text as 7")
    rows = dataset.encoding.filled(dataset.encoding.of_table(table))
    units = dataset.scaling.invert(np.concatenate(dataset.splits))
    # The rows are those of the table in another order, but where training rows set the bounds.
    inside = np.clip(rows, dataset.scaling.low, dataset.scaling.high)
    np.testing.assert_allclose(np.sort(units, axis=0), np.sort(inside, axis=0), rtol=1e-6)
    texts = [k for k, name in enumerate(ENCODED) if "=" in name]
    assert set(np.unique(units[:, texts])) == {0.0, 1.0}
    known = dict(zip(ENCODED, dataset.encoding.fill, strict=True))
    assert known["sex=male"] == 0
    assert abs(known["bill"] - table["bill"].median()) < 1
    assert load_file(written, **WHOLE | {"impute": "constant"}).encoding == Encoding(
        tuple(
            Column(each.name, each.categories, None if each.categories else 0.0)
            for each in dataset.encoding.columns
        ),
        fills=True,
    )


def test_all_that_is_text_or_missing_is_told_at_once_with_counts(written: Path) -> None:
    message = refusal(written, scale="minmax")
    assert "column 'species'" in message
    assert "in all text in 'species' (150), 'island' (150), 'sex' (1" in message
    assert (
        "missing values in 'bill' (2), 'sex' (3); encode text with --one_hot, or fill missing "
        "values in with --impute median, or leave columns out with --drop_columns "
        "species,island,sex,bill" in message
    )
    message = refusal(written, scale="minmax", one_hot=True)
    assert "in all missing values in 'bill' (2), 'sex' (3); fill missing values in with" in message


def test_what_a_label_says_of_the_test_rows_is_known(written: Path) -> None:
    table = penguins()
    test_rows = data_stream(7, DataPurpose.FILE_SPLIT).permutation(150)[105:135]
    for label in ("species", "bill", "mass", "sex"):
        variant = Variant(data=str(written), label=label, dataset_seed=7, scale="minmax", **TABLE)
        expected = [
            None if pd.isna(each) else str(each).removesuffix(".0")
            for each in table[label].iloc[test_rows]
        ]
        assert list(labels_of_test_rows(variant)) == expected


def test_numbers_of_columns_are_not_looked_up_among_pandas_own(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{k},{k % 7},{'ab'[k % 2]}" for k in range(40)]
    path.write_text("\n".join(rows))
    encoding = load_file(path, **WHOLE, header="no").encoding
    assert encoding is not None
    table = pd.read_csv(path, header=None)
    with pytest.raises(ValueError, match=r"numbered from 0, .*\[str\(k \+ 1\)"):
        encoding.of_table(table)
    table.columns = ["1", "2", "3"]
    assert encoding.of_table(table)[:, 0].tolist() == list(range(40))


def test_a_column_with_few_values_has_the_median_of_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aes_lipi.data.encoding._SAMPLE", 10)
    path, values = tmp_path / "x.csv", np.full(400, np.nan)
    known = data_stream(7, DataPurpose.FILE_SPLIT).permutation(400)[100:103]
    values[known] = [2000, 2010, 2030]
    pd.DataFrame({"a": np.arange(400), "b": values}).to_csv(path, index=False)
    encoding = load_file(path, **WHOLE, dataset_seed=7).encoding
    assert encoding is not None
    assert encoding.columns[1].fill == 2010


def test_what_pandas_takes_for_missing_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    kinds = ["None", "<NA>", "NaN", "Grvl", "Pave"]
    path.write_text("a,b\n" + "\n".join(f"{kinds[k % 5]},{k}" for k in range(60)))
    encoding = load_file(path, **WHOLE).encoding
    assert encoding is not None
    assert encoding.columns[0].categories == ("Grvl", "Pave")
    missing = np.isnan(encoding.of_table(pd.read_csv(path))).any(axis=1)
    assert missing.tolist() == [k % 5 < 3 for k in range(60)]


@pytest.mark.parametrize(
    ("lines", "settings", "told"),
    [
        (["#y,3"], {**WHOLE}, "a line begins with '#y', as comments do"),
        (["#1,3"], {"scale": "minmax"}, "'#1' is not a number; remove lines that begin with #"),
    ],
)
def test_comments_as_wide_as_rows_are_refused(
    lines: list[str], settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    first = "x" if "one_hot" in settings else "1"
    path.write_text("a,b\n" + "\n".join([*[f"{first},{k}" for k in range(30)], *lines]))
    assert told in refusal(path, **settings)


def test_truth_values_below_a_hole_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "\n".join(f"{k},{['', 'True', 'False'][k % 3]}" for k in range(60)))
    dataset = load_file(path, scale="minmax", impute="median")
    assert set(np.unique(np.concatenate(dataset.splits)[:, 1])) <= {0.0, 0.5, 1.0}


def test_columns_are_taken_left_out_and_kept_as_a_label(written: Path) -> None:
    some = load_file(written, scale="minmax", columns="mass, year")
    assert some.columns == ("mass", "year")
    rest = load_file(written, **WHOLE, label="species", drop_columns=["island", "sex"])
    assert rest.columns == ("bill", "mass", "year")
    told = "--label: there is no column 'specis'; did you mean species"
    with pytest.raises(UserError, match=told):
        load_file(written, **WHOLE, label="specis")
    told = "--drop_columns: there is no column 'a', 'b'"
    with pytest.raises(UserError, match=told):
        load_file(written, **WHOLE, drop_columns="a,b,mass")
    with pytest.raises(UserError, match="no column is left to train on"):
        load_file(written, **WHOLE, columns="mass", label="mass")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "split.npz", "x.csv"])
def test_columns_without_names_are_told_by_their_numbers(name: str, tmp_path: Path) -> None:
    path, values = tmp_path / name, np.random.default_rng(0).random((40, 3))
    values[::7, 2] = np.nan
    if name == "x.npy":
        np.save(path, values)
    elif name == "x.npz":
        np.savez(path, m=values)
    elif name == "split.npz":
        np.savez(path, train=values[:20], test=values[20:30], validation=values[30:])
    else:
        pd.DataFrame(values).to_csv(path, index=False, header=False)
    dataset = load_file(path, columns="1,3", impute="median")
    assert dataset.n_dim == 2
    assert dataset.encoding is not None
    assert [column.name for column in dataset.encoding.columns] == ["1", "3"]
    assert np.isfinite(np.concatenate(dataset.splits)).all()


def test_a_category_that_no_training_row_has_is_no_column_and_0_in_all_others(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{text},{k / 40}" for k, text in enumerate(["a", "b"] * 20)]
    path.write_text("\n".join(["t,x", *rows, "rare,0.5"]) + "\n")
    seeds = [load_file(path, one_hot=True, dataset_seed=seed).columns for seed in range(12)]
    assert ("t=a", "t=b", "x") in seeds
    dataset = load_file(path, one_hot=True, dataset_seed=seeds.index(("t=a", "t=b", "x")))
    rows_of_none = (np.concatenate(dataset.splits)[:, :2] == 0).all(axis=1)
    assert rows_of_none.sum() == 1


def test_what_can_be_no_category_is_refused_and_told_apart(tmp_path: Path) -> None:
    n = MOST_CATEGORIES + 1
    table = pd.DataFrame({"id": [f"row {k}" for k in range(n)], "x": np.linspace(0, 1, n)})
    table.to_csv(tmp_path / "x.csv", index=False)
    table.assign(when=pd.Timestamp("2024-01-01")).to_parquet(tmp_path / "x.parquet")
    table.to_parquet(tmp_path / "ids.parquet")
    for name in ("x.csv", "ids.parquet"):
        told = refusal(tmp_path / name, one_hot=True)
        assert "column 'id': more than 1,000 different texts, too many to encode; leave" in told
        assert load_file(tmp_path / name, one_hot=True, label="id").columns == ("x",)
    told = refusal(tmp_path / "x.parquet", one_hot=True)
    assert "neither numbers nor text in 'when' (1,001); leave columns out with" in told


def test_a_mark_among_numbers_is_no_category(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,x\n2,y\n?,x\n" * 5)
    told = refusal(path, one_hot=True, scale="minmax")
    assert "column 'a', row 3 below the header: '?' is not a number; in all text in 'a' (5)" in told


def test_a_first_row_that_is_like_the_others_is_in_doubt(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("red,1\nblue,2\nred,3\nblue,5\n" * 5)
    assert "may name the columns, or be a row of data" in refusal(path, one_hot=True)
    dataset = load_file(path, one_hot=True, scale="minmax", header="no")
    assert dataset.columns == ("1=blue", "1=red", "2")


def test_names_that_are_the_same_once_encoded_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("t,t=a\n" + "a,1\nb,0\n" * 10)
    assert "both 't=a' once encoded; rename the column" in refusal(path, one_hot=True)


@pytest.mark.parametrize("scale", ["minmax", "quantile"])
def test_columns_of_texts_are_not_scaled(scale: str, tmp_path: Path) -> None:
    penguins().to_csv(tmp_path / "x.csv", index=False)
    dataset = load_file(tmp_path / "x.csv", **WHOLE | {"scale": scale})
    assert set(np.unique(dataset.train[:, :5])) == {0.0, 1.0}
    assert dataset.scaling is not None
    assert set(np.unique(dataset.scaling.invert(dataset.train)[:, :5])) == {0.0, 1.0}


def test_settings_count_for_the_id_only_where_they_are_used() -> None:
    def own(**settings: Any) -> Variant:
        return Variant.model_validate({"data": "x.csv", **settings})

    assert own().id == own(columns=None, drop_columns=[], impute="none").id
    ids = {own(columns="a,b").id, own(drop_columns="a,b").id, own(label="a").id, own().id}
    assert len(ids) == 4
    assert own(columns="a, b") == own(columns=["a", "b"])
