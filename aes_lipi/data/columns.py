"""Which columns of a table are taken, and what is told of those that cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aes_lipi.config import Variant
from aes_lipi.data.source import Block, Source, quoted
from aes_lipi.errors import UserError, nearest, printable

MOST_CATEGORIES = 1_000
"""Different texts of a column that is encoded; with more, it names its rows."""

_NOTHING: Mapping[str, int] = {}
_TOLD = 20
"""Columns that an error names."""


@dataclass(frozen=True)
class Wanted:
    """Which columns of a table are taken.

    Attributes:
        columns: names of those to take; None for all.
        dropped: names of those to leave out.
        label: name of the one that says what a row is, which is left out, too.
        one_hot: whether columns of text are taken.
        fills: whether missing values are.
    """

    columns: tuple[str, ...] | None = None
    dropped: tuple[str, ...] = ()
    label: str | None = None
    one_hot: bool = False
    fills: bool = False

    @staticmethod
    def of(variant: Variant) -> Wanted:
        """What a variant says."""
        return Wanted(
            columns=variant.columns,
            dropped=variant.drop_columns or (),
            label=variant.label,
            one_hot=variant.one_hot,
            fills=variant.impute != "none",
        )

    @property
    def is_all(self) -> bool:
        """Whether a table is taken as it is."""
        return self == EVERYTHING

    def of_numbers(self, source: Source) -> Source:
        """Some columns of a matrix that holds numbers alone.

        Raises:
            UserError: there are no such columns, or none is left.
        """
        if self.is_all:
            return source
        places = self.places(source.label, source.column_names or source.n_columns)

        def blocks() -> Iterator[Block]:
            for rows, columns, block in source.blocks():
                start, stop = np.searchsorted(places, (columns.start, columns.stop))
                inside = np.array(places[start:stop], np.intp) - columns.start
                if len(inside):
                    yield rows, slice(int(start), int(stop)), block[:, inside]

        names = tuple(source.names[j] for j in places)
        return replace(source, n_columns=len(places), blocks=blocks, column_names=names)

    def places(self, label: str, names: Sequence[str] | int) -> list[int]:
        """The places of the columns to take, in the table's order.

        Args:
            label: what errors call the table.
            names: of all its columns; or how many there are, which are named by their numbers.

        Raises:
            UserError: the table has no such columns (all are named), or none is left.
        """
        known = [str(j + 1) for j in range(names)] if isinstance(names, int) else list(names)
        asked = {
            "--columns": self.columns or (),
            "--drop_columns": self.dropped,
            "--label": () if self.label is None else (self.label,),
        }
        for flag, given in asked.items():
            if unknown := [name for name in given if name not in known]:
                close = nearest(unknown[0], known)
                raise UserError(f"{label}: {flag}: there is no column {_listed(unknown)}{close}")
        out = {*self.dropped, self.label}
        chosen = known if self.columns is None else self.columns
        places = [j for j, name in enumerate(known) if name in chosen and name not in out]
        if not places:
            raise UserError(f"{label}: no column is left to train on; take some, or drop fewer")
        return places


EVERYTHING = Wanted()


def check_categories(place: str, n_texts: int) -> None:
    """Refuse a column of text that names its rows.

    Raises:
        UserError: it has more than `MOST_CATEGORIES` different texts; leave it out.
    """
    if n_texts > MOST_CATEGORIES:
        raise UserError(
            f"{place}: more than {MOST_CATEGORIES:,} different texts, too many to encode; leave "
            "the column out with --drop_columns"
        )


def untaken(
    problem: str,
    *,
    text: Mapping[str, int] = _NOTHING,
    other: Mapping[str, int] = _NOTHING,
    missing: Mapping[str, int] = _NOTHING,
) -> UserError:
    """The error of a table of which columns cannot be taken as they are: all of them at once.

    Args:
        problem: the first, with its place.
        text: names of columns that hold text, and how many rows of it.
        other: names of columns that hold neither numbers nor text, and how many rows.
        missing: names of columns that lack values, and how many.
    """
    told = [("text", text, "encode text with --one_hot")]
    told.append(("neither numbers nor text", other, ""))
    told.append(("missing values", missing, "fill missing values in with --impute median"))
    found = [f"{what} in {_listed(columns)}" for what, columns, _ in told if columns]
    remedies = [remedy for _, columns, remedy in told if columns and remedy]
    names = list(dict.fromkeys([*text, *other, *missing]))
    listed = f" {','.join(names)}" if len(names) <= _TOLD else ""
    drop = f"leave columns out with --drop_columns{printable(listed, 1000)}"
    return UserError(f"{problem}; in all {', '.join(found)}; {', or '.join([*remedies, drop])}")


def _listed(names: Sequence[str] | Mapping[str, int]) -> str:
    """Names in quotation marks, with a count where there is one; cut if there are many."""
    counts = {k: f" ({n:,})" for k, n in names.items()} if isinstance(names, Mapping) else {}
    shown = [f"{quoted(name)}{counts.get(name, '')}" for name in list(names)[:_TOLD]]
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(shown) + more
