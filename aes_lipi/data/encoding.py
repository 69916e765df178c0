"""Text and missing values of a table as numbers: learned on training rows, kept in the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from aes_lipi.arrays import Array, Flags, Float64, Floats
from aes_lipi.data.columns import check_categories, untaken
from aes_lipi.data.source import Block, Source, array_source, quoted
from aes_lipi.errors import UserError

Impute = Literal["none", "median", "constant"]

_CONSTANT = 0.0
"""What a missing number is with `constant`, in the column's own units."""


@dataclass(frozen=True)
class Column:
    """A column of a table as it is before it is encoded.

    Attributes:
        name: in the table.
        categories: of a column of text, those that training rows had, in the order of their
            letters; each is a column of numbers. None of a column of numbers.
        fill: what a missing number is taken for; None if it is refused.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns that it becomes: its own, or `name=text` for each of its texts."""
        return tuple(self.each_name())

    def each_name(self) -> Iterator[str]:
        """The same, one after another."""
        if self.categories is None:
            yield self.name
        else:
            yield from (f"{self.name}={each}" for each in self.categories)


@dataclass(frozen=True)
class Encoding:
    """How a table's columns become numbers.

    A text that no training row had is 0 in all of its column's numbers.

    Attributes:
        columns: of the table, those that are taken, in its order.
        fills: whether missing values are taken: numbers become their column's `fill`, and a
            missing text is 0 in all of its column's numbers.
    """

    columns: tuple[Column, ...]
    fills: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the encoded columns."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def fill(self) -> Float64:
        """What a missing value of each encoded column becomes: (n_dim,); NaN if it is refused."""
        fills: list[float] = []
        for column in self.columns:
            missing = (0.0 if self.fills else np.nan) if column.categories else column.fill
            fills += [np.nan if missing is None else missing] * len(column.names)
        return np.array(fills)

    @property
    def flags(self) -> Flags:
        """Which encoded columns say whether a text is there, as 0 or 1: (n_dim,)."""
        return np.array([c.categories is not None for c in self.columns for _ in c.names])

    def filled(self, rows: Floats) -> Any:
        """Encoded rows (rows, n_dim) whose missing values are filled in, of the same type."""
        return np.where(np.isnan(rows), self.fill.astype(rows.dtype), rows) if self.fills else rows

    def of_table(self, table: Any) -> Float64:
        """A pandas table as encoded rows: float64, (rows, n_dim); what is missing is NaN.

        Columns are taken by their names; others are left alone.

        Raises:
            ValueError: columns are missing, or one holds something else than numbers; give those
                that the model was trained on.
        """
        _check_numbering([column.name for column in self.columns], table)
        known = {str(name): k for k, name in enumerate(table.columns)}
        if gone := [column.name for column in self.columns if column.name not in known]:
            listed = ", ".join(map(quoted, gone[:20]))
            raise ValueError(f"the table lacks columns that the model was trained on: {listed}")
        given = Counter(map(str, table.columns))
        if twice := [column.name for column in self.columns if given[column.name] > 1]:
            raise ValueError(f"the table has columns of one name: {quoted(twice[0])}; rename one")
        parts = [_encoded(column, table.iloc[:, known[column.name]]) for column in self.columns]
        return np.concatenate(parts, axis=1)

    def source(self, raw: Source) -> Source:
        """A matrix of the encoded columns, read from one of the table's, with texts by number."""
        starts = np.cumsum([0, *(len(column.names) for column in self.columns)])
        kept = [
            _kept(column, known) for column, known in zip(self.columns, texts_of(raw), strict=True)
        ]

        def blocks() -> Iterator[Block]:
            for rows, columns, block in raw.blocks():
                places = range(*columns.indices(raw.n_columns))
                parts = [
                    _expanded(self.columns[j], kept[j], block[:, [k]]) for k, j in enumerate(places)
                ]
                whole = slice(int(starts[columns.start]), int(starts[columns.stop]))
                encoded = np.concatenate(parts, axis=1)
                fill = self.fill[whole]
                yield rows, whole, np.where(np.isnan(encoded), fill, encoded)

        return replace(
            raw,
            n_columns=int(starts[-1]),
            blocks=blocks,
            column_names=self.names,
            categories=(),
            flags=self.flags,
        )


def _check_numbering(names: Sequence[str], table: Any) -> None:
    """Refuse to look numbers from 1, of a file without a header, up among pandas' own, from 0.

    Raises:
        ValueError: that would be done; give the table names.
    """
    labels = list(table.columns)
    from_0 = 0 in labels and all(isinstance(each, int | np.integer) for each in labels)
    if from_0 and "0" not in names and all(name.isdecimal() for name in names):
        raise ValueError(
            "the table's columns are numbered from 0, and the model knows them by numbers from 1; "
            "give the table names, as in table.columns = [str(k + 1) for k in table.columns]"
        )


def known_source(label: str, table: Any, encoding: Encoding) -> Source:
    """A pandas table as a matrix of encoded columns, by an encoding that is known.

    Raises:
        UserError: columns are missing, or one holds something else than the encoding knows.
    """
    try:
        rows = encoding.of_table(table)
    except ValueError as error:
        raise UserError(f"{label}: {error}") from None
    source = array_source(label, encoding.filled(rows))
    return replace(source, column_names=encoding.names, flags=encoding.flags)


def table_source(label: str, table: Any, *, one_hot: bool) -> Source:
    """A pandas table as a matrix, with texts by number.

    Args:
        label: what errors call it.
        table: with a name for each column.
        one_hot: whether columns of text are taken.

    Raises:
        UserError: columns hold text that is not taken, or something else; all are named.
    """
    names = [str(name) for name in table.columns]
    series = [table.iloc[:, k] for k in range(len(names))]
    texts = [_texts_in(each) for each in series]
    found = {name: len(table) for name, each in zip(names, texts, strict=True) if each is not None}
    if found and not one_hot:
        raise untaken(f"{label}: columns hold text", text=found)
    for name, known in zip(names, texts, strict=True):
        check_categories(f"{label}, column {quoted(name)}", 0 if known is None else len(known))
    columns = [
        _encoded(Column(name), each) if known is None else _numbers_of(known, each)
        for name, each, known in zip(names, series, texts, strict=True)
    ]
    source = array_source(label, np.concatenate(columns, axis=1))
    return replace(source, column_names=tuple(names), categories=tuple(texts) if found else ())


def _texts_in(values: Any) -> tuple[str, ...] | None:
    """The texts of a pandas series in the order of their letters; None if it holds none."""
    from pandas.api.types import infer_dtype  # noqa: PLC0415 - slow to import

    if infer_dtype(values, skipna=True) not in ("string", "categorical"):
        return None
    return tuple(sorted({str(each) for each in values.dropna().unique()}))


def _numbers_of(texts: tuple[str, ...], values: Any) -> Float64:
    """A pandas series of text by number, (rows, 1), float64; NaN where it is missing."""
    places = {text: float(k) for k, text in enumerate(texts)}
    missing = values.isna().to_numpy(dtype=np.bool_)
    found = [places.get(str(each), np.nan) for each in values.astype(object)]
    return np.where(missing, np.nan, np.array(found)).reshape(-1, 1)


def learn_encoding(source: Source, rows: Array, impute: Impute) -> Encoding:
    """Learn the encoding of a table from some of its rows.

    Medians are of the first 10,000 of these rows, and of all where no value is among those.

    Args:
        source: the table, with texts by number.
        rows: to learn from.
        impute: what missing numbers become.

    Raises:
        UserError: values are missing and `impute` does not fill them in, or a column has none in
            these rows; all columns are named, with the remedy.
    """
    names = source.names
    known = _Known(source, rows, impute)
    _check_known(source, names, known, impute)
    columns = [
        Column(name, fill=None if impute == "none" else float(known.fill[j]))
        if texts is None
        else Column(name, tuple(texts[k] for k in sorted(known.texts[j])))
        for j, (name, texts) in enumerate(zip(names, texts_of(source), strict=True))
    ]
    encoding = Encoding(tuple(columns), fills=impute != "none")
    if len(set(encoding.names)) < len(encoding.names):
        twice = next(each for each in encoding.names if encoding.names.count(each) > 1)
        raise UserError(
            f"{source.label}: a text of one column and the name of another are both "
            f"{quoted(twice)} once encoded; rename the column"
        )
    return encoding


_SAMPLE = 10_000


class _Known:
    """What training rows say of a table's columns.

    Args:
        source: the table.
        rows: to learn from.
        impute: what missing numbers become.

    Attributes:
        missing: missing values of all rows, by column.
        values: values of training rows, by column.
        texts: numbers of the texts that training rows have, by column of text.
        fill: what a missing number becomes, (n_columns,).
    """

    def __init__(self, source: Source, rows: Array, impute: Impute) -> None:
        learned = np.zeros(source.n_rows, np.bool_)
        learned[rows] = True
        sampled = np.zeros(source.n_rows, np.bool_)
        sampled[rows[:_SAMPLE]] = impute == "median"
        self.missing = np.zeros(source.n_columns, np.int64)
        self.values = np.zeros(source.n_columns, np.int64)
        self.texts = {j: set[int]() for j, each in enumerate(texts_of(source)) if each is not None}
        parts: dict[int, list[Float64]] = {j: [] for j in range(source.n_columns)}
        for block_rows, columns, block in source.blocks():
            is_known, training = ~np.isnan(block), block[learned[block_rows]]
            self.missing[columns] += (~is_known).sum(axis=0)
            self.values[columns] += (~np.isnan(training)).sum(axis=0)
            for k, j in enumerate(range(columns.start, columns.stop)):
                if j in self.texts:
                    column = training[:, k]
                    self.texts[j].update(np.unique(column[~np.isnan(column)]).astype(int).tolist())
                elif impute == "median":
                    column = block[:, k]
                    parts[j].append(column[sampled[block_rows] & is_known[:, k]])
        self.fill = np.full(source.n_columns, _CONSTANT)
        if impute == "median":
            found = {j: np.concatenate(parts[j]) for j in parts if parts[j]}
            rare = [j for j, values in found.items() if not len(values) and self.values[j]]
            found |= _values_of(source, learned, rare)
            for j, values in found.items():
                self.fill[j] = np.median(values) if len(values) else _CONSTANT


def _values_of(source: Source, rows: Flags, places: Sequence[int]) -> dict[int, Float64]:
    """All values of some columns in some rows, by column."""
    parts: dict[int, list[Float64]] = {j: [] for j in places}
    for block_rows, columns, block in source.blocks() if parts else ():
        for j in parts.keys() & range(columns.start, columns.stop):
            column = block[rows[block_rows], j - columns.start]
            parts[j].append(column[~np.isnan(column)])
    return {j: np.concatenate(each) for j, each in parts.items()}


def _check_known(source: Source, names: Sequence[str], known: _Known, impute: Impute) -> None:
    """Refuse what cannot be encoded, all columns at once.

    Raises:
        UserError: values are missing, or there are none to learn from.
    """
    empty = {names[j]: source.n_rows for j in np.flatnonzero(known.values == 0).tolist()}
    if empty:
        problem = f"{source.label}: columns have no value in the training rows"
        raise untaken(problem, missing=empty)
    missing = {names[j]: int(known.missing[j]) for j in np.flatnonzero(known.missing).tolist()}
    if missing and impute == "none":
        problem = f"{source.label}: values are missing (empty, null or NaN)"
        raise untaken(problem, missing=missing)


def texts_of(source: Source) -> Sequence[tuple[str, ...] | None]:
    """The texts of each column, in the order of their numbers; None of a column of numbers."""
    return source.categories or (None,) * source.n_columns


def _kept(column: Column, known: tuple[str, ...] | None) -> Float64:
    """By the number of a text in the table, its place among the column's; -1 for one left out."""
    if known is None or column.categories is None:
        return np.empty(0)
    places: Mapping[str, int] = {text: k for k, text in enumerate(column.categories)}
    return np.array([places.get(text, -1) for text in known], np.float64)


def _expanded(column: Column, kept: Float64, values: Float64) -> Float64:
    """A column of numbers as it is; of texts by number, (rows, 1), one column for each text."""
    if column.categories is None:
        return values
    is_missing = np.isnan(values)
    places = kept[np.where(is_missing, 0, values).astype(np.int64)]
    ones = (places == np.arange(len(column.categories))).astype(np.float64)
    return np.where(is_missing, np.nan, ones)


def _encoded(column: Column, values: Any) -> Float64:
    """A pandas series as the columns that it becomes.

    Raises:
        ValueError: it holds no numbers where these were trained on.
    """
    if column.categories is None:
        if getattr(values.dtype, "kind", "") in "mM":
            raise ValueError(f"column {quoted(column.name)}: dates or times; give numbers")
        try:
            numbers: Float64 = values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {quoted(column.name)}: not numbers ({error})") from None
        return numbers.reshape(-1, 1)
    is_missing = values.isna().to_numpy(dtype=np.bool_).reshape(-1, 1)
    texts = values.astype(object).map(str).to_numpy(dtype=object).reshape(-1, 1)
    ones = (texts == np.array(column.categories, dtype=object)).astype(np.float64)
    return np.where(is_missing, np.nan, ones)
