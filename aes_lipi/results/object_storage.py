"""Results in an object store: S3, Google Cloud Storage, or what else pyarrow reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.results.storage import Entry, LocalStorage, Storage, is_address, place_of

_REMEDY = (
    "check the address, the credentials and the network, or choose another --output_dir, then run "
    "the same command again"
)

_BUCKET_OPTION = re.compile(r"[?&]allow_bucket_creation=(true|1)(&|$)", re.IGNORECASE)
_LONGEST_REASON = 240
_PART = 2**20  # bytes that are read at a time


def open_storage(location: str | Path) -> Storage:
    """The storage at a location; nothing is made yet.

    Args:
        location: a folder, or an address that pyarrow understands, as in `s3://bucket/results`.

    Raises:
        UserError: the address is none that pyarrow understands, or nothing is given.
    """
    if not is_address(location):
        return LocalStorage(Path(expanded(location)))
    return _open_address(str(location))


def _open_address(address: str) -> Storage:
    """The storage at an address.

    Args:
        address: as in `s3://bucket/results?region=eu-west-1`; what may follow the question mark is
            said in the documentation of `pyarrow.fs.FileSystem.from_uri`.

    Raises:
        UserError: pyarrow does not understand the address, or cannot find the store.
    """
    with _told(place_of(address), address, "be used"):
        file_system, root = fs.FileSystem.from_uri(_with_whole_writes(address))
    if isinstance(file_system, fs.LocalFileSystem):
        return LocalStorage(Path(root))
    if not root.strip("/"):
        raise UserError(
            f"{place_of(address)}: names no bucket; give one, as in s3://bucket/results"
        )
    makes_bucket = _BUCKET_OPTION.search(address) is not None
    return _ObjectStorage(file_system, root.rstrip("/"), address, makes_bucket)


def _with_whole_writes(address: str) -> str:
    """The address, with the option by which S3 takes a small file in a single request."""
    if not address.startswith("s3://") or "allow_delayed_open=" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}allow_delayed_open=true"


class _ObjectStorage:
    """A folder of an object store; see `Storage`.

    An object appears whole when its upload is complete. What is called a folder is the beginning of
    names. Requests that fail in passing are repeated by pyarrow; then `UserError` says what failed.

    Args:
        file_system: of pyarrow.
        root: bucket and folder.
        address: as the user gave it.
        makes_bucket: whether a missing bucket is made with the first object.
    """

    def __init__(self, file_system: Any, root: str, address: str, makes_bucket: bool) -> None:
        self._files = file_system
        self._root = root
        self._address = address
        self._makes_bucket = makes_bucket

    @property
    def shown(self) -> str:
        """The address, without options and keys."""
        return place_of(self._address)

    @property
    def is_own(self) -> bool:
        """Whether a reader may leave files there: its credentials decide."""
        return True

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        try:
            with (
                self._told(name, "be read"),
                self._files.open_input_stream(f"{self._root}/{name}", compression=None) as stream,
            ):
                return _read_from(stream, limit)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage.write`."""
        # In a thread, where no interrupt comes between opening and writing: a stream that is given
        # up then would leave an empty object.
        with (
            self._told(name, "be written", missing=True),
            ThreadPoolExecutor(1, thread_name_prefix="upload") as uploader,
        ):
            uploader.submit(self._upload, name, content).result()

    def _upload(self, name: str, content: bytes) -> None:
        if self._makes_bucket:
            self._files.create_dir(self._root.partition("/")[0])
            self._makes_bucket = False
        # Not `with`, which would complete the upload of a part after an error.
        stream = self._files.open_output_stream(f"{self._root}/{name}", compression=None)
        stream.write(content)
        stream.close()

    def refresh(self, name: str, content: bytes) -> bool:
        """See `Storage.refresh`."""
        with self._told(name, "be read"):
            [facts] = self._files.get_file_info([f"{self._root}/{name}"])
        if facts.type != fs.FileType.File:
            return False
        self.write(name, content)
        return True

    def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        try:
            with self._told(name, "be removed"):
                self._files.delete_file(f"{self._root}/{name}")
                self._remove_empty(name.rpartition("/")[0])
        except FileNotFoundError:
            return

    def _remove_empty(self, folder: str) -> None:
        """Remove what stands for a folder without files, which pyarrow makes.

        What another process writes there between the two requests goes with it, for no single
        request removes that alone: a piece of an index at most, which is a cache.
        """
        while folder and not self.files(folder):
            self._files.delete_dir(f"{self._root}/{folder}")
            folder = folder.rpartition("/")[0]

    def files(self, folder: str) -> list[Entry]:
        """See `Storage.files`."""
        found = self._list(f"{self._root}/{folder}", recursive=True)
        return [self._entry(facts) for facts in found if facts.type == fs.FileType.File]

    def children(self) -> list[Entry]:
        """See `Storage.children`."""
        return [self._entry(facts) for facts in self._list(self._root, recursive=False)]

    def _list(self, path: str, recursive: bool) -> list[Any]:
        selector = fs.FileSelector(path, recursive=recursive, allow_not_found=True)
        with self._told("", "be read", missing=True):
            return sorted(self._files.get_file_info(selector), key=lambda facts: facts.path)

    def _entry(self, facts: Any) -> Entry:
        modified = facts.mtime_ns / 1e9 if facts.mtime_ns is not None else 0.0
        name = facts.path.removeprefix(self._root).strip("/")
        return Entry(name, facts.size or 0, modified, f"{facts.size}.{facts.mtime_ns}")

    @contextmanager
    def _told(self, name: str, what: str, missing: bool = False) -> Iterator[None]:
        with _told(f"{self.shown}/{name}".rstrip("/"), self._address, what, missing):
            yield


def _read_from(stream: Any, limit: int | None) -> bytes:
    """All that a stream has, or its first bytes; room is made for what comes, not for the limit."""
    if limit is None:
        content: bytes = stream.read()
        return content
    parts: list[bytes] = []
    while limit and (part := stream.read(min(limit, _PART))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


@contextmanager
def _told(place: str, address: str, what: str, missing: bool = True) -> Iterator[None]:
    """Tell errors of the store in one line; a missing file is told only if `missing` is."""
    try:
        yield
    except FileNotFoundError as error:
        if not missing:
            raise
        raise UserError(_line(place, address, what, error)) from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UserError(_line(place, address, what, error)) from None


def _line(place: str, address: str, what: str, error: Exception) -> str:
    reason = " ".join(str(error).replace(address, place_of(address)).split())
    if len(reason) > _LONGEST_REASON:
        reason = reason[: _LONGEST_REASON - 3] + "..."
    return f"{place}: cannot {what} ({reason}); {_REMEDY}"
