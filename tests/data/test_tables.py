"""Tables as people have them: what is taken for header, index and separator, and what is said"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from own_tables import load_file
from pyarrow import parquet

from aes_lipi.data.files import file_digest
from aes_lipi.data.fitting import read_scaled
from aes_lipi.data.load import file_source
from aes_lipi.data.source import Source
from aes_lipi.errors import UserError

VALUES = np.random.default_rng(0).random((40, 4)).round(4)
NAMED = pd.DataFrame(VALUES, columns=list("abcd"))


def text_of(values: npt.NDArray[Any] = VALUES, separator: str = ",", end: str = "") -> str:
    """Rows, without a header."""
    return "".join(separator.join(map(str, row)) + end + "\n" for row in values.tolist())


def read(path: Path, content: str | bytes | None = None, **settings: Any) -> Source:
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = file_source(path, **settings)
    assert isinstance(source, Source)
    return source


def assert_read(
    path: Path, content: str | bytes | None, names: Sequence[str] | None = "abcd", **settings: str
) -> Source:
    """The table is read as the values, under these names."""
    source = read(path, content, **settings)
    assert source.column_names == (None if names is None else tuple(names))
    np.testing.assert_array_equal(read_scaled(source, None), VALUES.astype(np.float32))
    return source


def refusal(path: Path, content: str | bytes | None = None, **settings: str) -> str:
    with pytest.raises(UserError) as caught:
        read(path, content, **settings)
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix(repr(str(path)))


# Headers of numbers


HEADERS = [
    "400,500,600,700",  # wavelengths: in equal steps
    "2019,2020,2021,2022",
    "1,2,3,4",
    "0.1,0.2,0.3,0.4",  # quantiles
    "5,7,20,21",  # far from what is below
    "-3,-1,7,90",
    "1e3,2e3,5e3,9e3",
    "0,1,4,9",  # whole, where what is below is not
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_doubtful_header_is_refused_and_read_as_told(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.csv"
    message = refusal(path, f"{header}\n{text_of()}")
    assert message.endswith(
        "may name the columns, or be a row of data; say which: --header yes, or --header no"
    )
    named = read(path, header="yes")
    assert (named.n_rows, named.column_names) == (40, tuple(header.split(",")))
    bare = read(path, header="no")
    assert (bare.n_rows, bare.column_names) == (41, None)
    [(_, _, block)] = bare.blocks()
    np.testing.assert_array_equal(block[0], [float(each) for each in header.split(",")])


@pytest.mark.parametrize("transform", [
    lambda v: v,
    lambda v: (v > 0.5).astype(int),
    lambda v: (v * 1000).astype(int),
    lambda v: np.sort(v * 1e6, axis=0),  # rows that rise, as times do
    lambda v: np.sort((v * 1e6).astype(int), axis=0)[::-1],
    lambda v: v * [1, 1e3, 1e6, 1e9],
    lambda v: np.where(v > 0.3, 0.0, v),
])  # fmt: skip
def test_a_row_of_data_is_no_header(tmp_path: Path, transform: Callable[[Any], Any]) -> None:
    values = transform(VALUES)
    source = read(tmp_path / "x.csv", text_of(values))
    assert (source.n_rows, source.column_names) == (40, None)


@pytest.mark.parametrize("header", ["0,1,2,3", "a,b,c,d", "2019,2020,2021,total", "1a,2,3,4"])
def test_a_sure_header_is_read(tmp_path: Path, header: str) -> None:
    assert_read(tmp_path / "x.csv", f"{header}\n{text_of()}", header.split(","))


def test_a_header_told_of_counts_as_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert read(path, text_of(), header="yes").n_rows == 39
    assert "'a' is not a number" in refusal(path, "a,b,c,d\n" + text_of(), header="no")
    assert_read(path, text_of(), None, header="no")


@pytest.mark.parametrize("names", ["t,p,t,q", "t,t,t,t", "x,a,,a"])
def test_repeated_names_are_refused(tmp_path: Path, names: str) -> None:
    message = refusal(tmp_path / "x.csv", f"{names}\n{text_of()}")
    assert "have this name; rename or drop all but one" in message or "has no name" in message


# Indices


@pytest.mark.parametrize(
    "index",
    [
        None,
        range(5, 45),
        np.random.default_rng(1).permutation(900)[:40],
        [f"row {k}" for k in range(40)],
        pd.date_range("2020-01-01", periods=40),
    ],
)
@pytest.mark.parametrize("columns", ["abcd", [0, 1, 2, 3], [400, 500, 600, 700]])
def test_an_index_that_pandas_writes_is_left_out(tmp_path: Path, index: Any, columns: Any) -> None:
    path = tmp_path / "x.csv"
    pd.DataFrame(VALUES, index=index, columns=list(columns)).to_csv(path)
    source = assert_read(path, None, [str(each) for each in columns])
    assert source.index == ("",)


@pytest.mark.parametrize(
    "content",
    [
        "Unnamed: 0,a,b,c,d\n",
        '"","a","b","c","d"\n',  # R's write.csv
        '"a","b","c","d"\n',  # R's write.table
        "# written by hand\n,a,b,c,d\n",
    ],
)
@pytest.mark.parametrize("label", [str, '"gene {}"'.format])
def test_an_index_that_others_write_is_left_out(
    tmp_path: Path, content: str, label: Callable[[int], str]
) -> None:
    rows = "".join(f"{label(k)},{row}\n" for k, row in enumerate(text_of().splitlines()))
    assert len(assert_read(tmp_path / "x.csv", content + rows).index) == 1


def test_an_index_of_two_levels_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    index = pd.MultiIndex.from_product([range(4), range(10)])
    NAMED.set_axis(index).to_csv(path)
    with pytest.raises(UserError, match="column 1: has no name in the header"):  # repeats
        read(path)
    NAMED.set_axis(pd.MultiIndex.from_arrays([range(40), range(40)])).to_csv(path)
    assert assert_read(path, None).index == ("", "")


def test_data_without_a_name_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert "column 1: has no name in the header" in refusal(path, f",b,c,d\n{text_of()}")
    assert "column 3: has no name in the header" in refusal(path, f"a,b,,d\n{text_of()}")


@pytest.mark.parametrize("name", ["__index_level_0__", "__index_level_1__", "Unnamed: 0"])
@pytest.mark.parametrize("with_metadata", [True, False])
def test_names_that_pandas_keeps_for_an_index_are_left_out_of_parquet(
    tmp_path: Path, name: str, with_metadata: bool
) -> None:
    path = tmp_path / "x.parquet"
    table = pa.Table.from_pandas(NAMED.assign(**{name: range(40)})[[name, *NAMED]])
    parquet.write_table(table if with_metadata else table.replace_schema_metadata(None), path)
    assert assert_read(path, None).index == (name,)
    pl.read_parquet(path).select(*NAMED, name).write_csv(tmp_path / "x.csv")
    if name != "Unnamed: 0":
        assert assert_read(tmp_path / "x.csv", None).index == (name,)


def test_an_index_through_polars_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    NAMED.set_axis(list(range(0, 80, 2))).to_parquet(path)
    pl.read_parquet(path).write_parquet(path)
    assert assert_read(path, None).index == ("__index_level_0__",)


# Separators, comments, and what stands at the end of rows


@pytest.mark.parametrize("separator", [";", "\t", "|", " ", "   ", ":", "^"])
@pytest.mark.parametrize("names", [None, "abcd"])
def test_separators(tmp_path: Path, separator: str, names: str | None) -> None:
    path = tmp_path / "x.txt"
    content = ("" if names is None else separator.join(names) + "\n") + text_of(VALUES, separator)
    if separator in ":^":
        assert_read(path, content, names, separator=separator)
    else:
        told = assert_read(path, content, names)
        assert len(told.taken) == 1
        word = {";": "semicolon", "\t": "tab", "|": "pipe"}.get(separator, "space")
        assert_read(path, content, names, separator=word)
        assert told.taken == (f"separated by {word}",)


@pytest.mark.parametrize("separator", [";", "\t", " "])
def test_decimal_commas(tmp_path: Path, separator: str) -> None:
    content = (separator.join("abcd") + "\n" + text_of(VALUES, separator)).replace(".", ",")
    assert "decimal commas" in assert_read(tmp_path / "x.csv", content).taken


def test_another_separator_than_told_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    message = refusal(path, "a;b;c;d\n" + text_of(VALUES, ";"), separator="comma")
    assert message.endswith("is not a number; say what separates the columns: --separator")
    assert "is not a number" in refusal(path, text_of(), separator="semicolon")


@pytest.mark.parametrize("header", ["a,b,c,d\n", "a,b,c,d,\n", "0,1,2,3\n", ""])
def test_a_separator_at_the_end_of_rows(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.csv"
    content = header + text_of(end=",")
    names = header.strip(",\n").replace(",", "") or None
    assert_read(path, content, names)
    late = content + 5 * text_of(end=",") + "1,0,1,0,1\n"
    with pytest.raises(UserError, match=r", row 241.*: has 5 values where"):
        load_file(written(path, late))


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_a_last_column_without_values_is_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = "".join(f"{row},\n" for row in text_of().splitlines())
    with pytest.raises(UserError, match="column 'e', row 1 below the header: a missing value"):
        read_scaled(read(path, f"a,b,c,d,e\n{rows}"), None)


@pytest.mark.parametrize("options", [
    {"delimiter": ","},
    {"delimiter": ",", "header": "a,b,c,d"},
    {"header": "a b c d"},
    {"header": "a,b,c,d"},
    {"delimiter": "\t", "header": "measured today\na\tb\tc\td"},
    {"fmt": "%12.4f", "footer": "the end"},
])  # fmt: skip
def test_what_numpy_savetxt_writes(tmp_path: Path, options: dict[str, str]) -> None:
    path = tmp_path / "x.txt"
    np.savetxt(path, VALUES, **options)
    assert_read(path, None, "abcd" if "header" in options else None)
    if "header" in options:
        assert_read(path, None, "abcd", header="yes")
        assert_read(path, None, None, header="no")


# Compression


def zipped(content: bytes, *others: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("x.csv", *others):
            archive.writestr(name, content)
    return stream.getvalue()


COMPRESSED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gz", gzip.compress),
    ("bz2", bz2.compress),
    ("xz", lzma.compress),
    ("zip", zipped),
    ("zst", lambda content: pa.compress(content, "zstd", asbytes=True)),
]


@pytest.mark.parametrize(("ending", "compress"), COMPRESSED)
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x"])
def test_compressed_text(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes], name: str
) -> None:
    separator = "\t" if name == "x.tsv" else ","
    content = separator.join("abcd") + "\n" + text_of(VALUES, separator)
    path = tmp_path / f"{name}.{ending}"
    assert_read(path, compress(content.encode()))
    assert load_file(path).name == "x"
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read" in refusal(path)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    named = f"a,b,c,d\n{text_of()}".encode()
    assert_read(tmp_path / "x.csv", gzip.compress(named))
    assert_read(tmp_path / "x.csv.gz", named)
    for name in ("df.parquet.gzip", "df.parquet.gz", "df.csv", "df.pq", "df"):
        NAMED.to_parquet(tmp_path / name, compression="gzip")
        assert_read(tmp_path / name, None)
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "x.npy").rename(tmp_path / "x.dat")
    assert_read(tmp_path / "x.dat", None, None)


@pytest.mark.parametrize("name", ["x.parquet.gz", "x.npy.gz", "x.npz.bz2", "x.parquet.zip"])
def test_other_files_compressed_as_a_whole_are_refused(tmp_path: Path, name: str) -> None:
    compress = dict(COMPRESSED)[name.rpartition(".")[2]]
    message = refusal(tmp_path / name, compress(b"PAR1"))
    assert message == ": is compressed as a whole; decompress it"


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "x.zip", zipped(text_of().encode(), "y.csv"))
    assert message == ": holds 2 files; give the one to read"


# Columns that are more than numbers


def test_decimals_are_read_as_python_reads_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    digits = [f"{k / 1000:.3f}" for k in range(1000)]
    for kind in (pa.decimal128(4, 3), pa.decimal256(50, 3)):
        parquet.write_table(pa.table({"a": pa.array(map(Decimal, digits), kind)}), path)
        [(_, _, block)] = read(path).blocks()
        assert block[:, 0].tobytes() == np.array([float(each) for each in digits]).tobytes()


@pytest.mark.parametrize("kind", [
    pa.list_(pa.float32()),
    pa.large_list(pa.float64()),
    pa.list_(pa.float32(), 6),
    pa.list_(pa.list_(pa.float32(), 3), 2),
    pa.list_(pa.list_(pa.float64())),
])  # fmt: skip
def test_lists_are_columns(
    tmp_path: Path, kind: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    values = np.random.default_rng(0).random((50, 2, 3)).astype(np.float32)
    nested = pa.types.is_list(kind.value_type) or pa.types.is_fixed_size_list(kind.value_type)
    rows = (values if nested else values.reshape(50, 6)).tolist()
    table = pa.table({"a": VALUES[:, 0].tolist() + [0.5] * 10, "emb": pa.array(rows, kind)})
    parquet.write_table(table, path, row_group_size=7)
    monkeypatch.setattr("aes_lipi.data.columnar.BLOCK_VALUES", 60)
    source = read(path)
    assert source.column_names == ("a", *(f"emb[{k}]" for k in range(6)))
    matrix = read_scaled(source, None)
    np.testing.assert_array_equal(matrix[:, 1:], values.reshape(50, 6))


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([[0.5, 1], [1.0]], ", row 2: a list of 1 values where the first has 2"),
        ([[0.5, 1], None], ", row 2: a list is missing; drop the row"),
        ([[[0.5], [1]], [[1.0], [1, 0]]], ", row 2: a list of 2 values where the first has 1"),
        ([[], []], ": holds lists without values; drop the column"),
        ([[0.5, None], [0, 1]], ": a missing value"),
        ([["x"], ["y"]], ": holds list<element: string>, not numbers"),
    ],
)
def test_lists_that_are_no_columns_are_refused(tmp_path: Path, lists: Any, said: str) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"emb": lists}), path)
    with pytest.raises(UserError) as caught:
        read_scaled(read(path), None)
    assert said in str(caught.value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(40, 2, 2), (40, 4, 1), (40, 1, 2, 2)])
def test_rows_of_more_dimensions_are_laid_out(
    tmp_path: Path, shape: tuple[int, ...], order: Any
) -> None:
    np.save(tmp_path / "x.npy", np.asarray(VALUES.reshape(shape), order=order))
    assert_read(tmp_path / "x.npy", None, None)
    np.savez(tmp_path / "x.npz", images=VALUES.reshape(shape))
    assert_read(tmp_path / "x.npz", None, None)


# What is said


def test_what_was_read_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    table = NAMED.assign(e=0.5).rename(columns=lambda name: f"pixel_{name}")
    table.to_csv(path, index=False)
    start = "digits.csv: 40 rows, 5 columns named pixel_a..pixel_e"
    assert load_file(path).read == f"{start}, no index, 1 constant"
    table.to_csv(path, sep=";", decimal=",")
    assert load_file(path, scale="minmax").read == (
        f"{start}, index left out (without a name), 1 constant, separated by semicolon, "
        "decimal commas"
    )
    np.savez(tmp_path / "x.npz", train=VALUES, test=VALUES[:3], validation=VALUES[:2])
    assert load_file(tmp_path / "x.npz").read == (
        "x.npz: 45 rows split already, 4 columns without names, no index, 0 constant"
    )


def test_settings_of_text_are_refused_elsewhere(tmp_path: Path) -> None:
    NAMED.to_parquet(tmp_path / "x.parquet")
    for settings in ({"header": "yes"}, {"separator": "tab"}):
        [name] = settings
        message = refusal(tmp_path / "x.parquet", **settings)
        assert message == f": is no text; leave out --{name}"


# Places


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("s3://bucket/x.csv", "is an address; download the file"),
        ("https://example.org/x.csv", "is an address; download the file"),
        ("hf://datasets/x/y.parquet", "is an address; download the file"),
        ("file:///tmp/no/x.csv", "is an address; download the file"),
        ("no.csv", "there is no such file; check the path"),
        ("table.cvs", "there is no such file; did you mean table.csv?; check the path"),
        ("", "is a directory; name one file in it"),
        (".", "is a directory; name one file in it"),
    ],
)
def test_what_is_no_file_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("x")
    for read_it in (file_digest, file_source):
        with pytest.raises(UserError) as caught:
            read_it(Path(given))
        assert said in str(caught.value)
