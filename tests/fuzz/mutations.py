"""Ways to damage a file that still looks like one."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

_SIZES = (
    *(0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 10_000, 1_000_000, 2**24, 100_000_000),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
_TEXTS = (
    *(b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"1e-999", b"null", b"true", b'""', b"[]"),
    *(b"{}", b"0x" + b"f" * 4000, b"9" * 30, b"9" * 5000, b"1_0", b"\xff\xfe", b"\xed\xa0\x80"),
    *(b"\xf0\x9f\x98\x80", b"\x00", b"\r\n", b"\x1b[0m", b"\xe2\x80\xa8", b"\\ud800", b"..", b"/"),
)
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.5, 1e308),
    *(float("nan"), float("inf"), "", "x", "\ud800", "a\nb", "😀" * 50, "x" * 3000, "1"),
    *([], [0], [[]], [None] * 50, {}, {"": {}}, {"x": [1, "2", None]}),
)


def truncated(content: bytes, rng: random.Random) -> bytes:
    """The first part."""
    return content[: rng.randrange(len(content) + 1)]


def with_flipped_bits(content: bytes, rng: random.Random) -> bytes:
    """One bit in a few bytes."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def with_another_size(content: bytes, rng: random.Random) -> bytes:
    """A whole number of 1 to 8 bytes, or one of variable length, where another stood."""
    size = rng.choice(_SIZES)
    width: int = rng.choice((1, 2, 4, 8))
    number: bytes = (size % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
    if rng.random() < 0.3:
        number = varint(size)
    start = rng.randrange(len(content) + 1)
    return content[:start] + number + content[start + len(number) :]


def with_another_number(content: bytes, rng: random.Random) -> bytes:
    """Something else where a number stood in text."""
    places = list(_NUMBER.finditer(content))
    if not places:
        return content
    place = rng.choice(places)
    text = rng.choice(_TEXTS) if rng.random() < 0.6 else str(rng.choice(_SIZES)).encode()
    return content[: place.start()] + text + content[place.end() :]


def with_insertion(content: bytes, rng: random.Random) -> bytes:
    """A piece of text in between."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.choice(_TEXTS) * rng.choice((1, 1, 1, 50)) + content[start:]


def with_parts_swapped(content: bytes, rng: random.Random) -> bytes:
    """Two neighbouring parts in the other order."""
    low, middle, high = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:low] + content[middle:high] + content[low:middle] + content[high:]


def with_a_part_repeated(content: bytes, rng: random.Random) -> bytes:
    """A part several times, or not at all."""
    low, high = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:low] + content[low:high] * rng.choice((0, 0, 2, 10, 100)) + content[high:]


ANYWHERE: tuple[Mutation, ...] = (
    truncated,
    with_flipped_bits,
    with_flipped_bits,
    with_another_size,
    with_another_size,
    with_another_number,
    with_insertion,
    with_parts_swapped,
    with_a_part_repeated,
)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage it once or a few times, somewhere."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(ANYWHERE)(content, rng)
    return content


def spliced(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def json_mutated(content: bytes, rng: random.Random) -> bytes:
    """A JSON document with other values; anything else, damaged anywhere."""
    try:
        document = json.loads(content)
        return json.dumps(value_mutated(document, rng), ensure_ascii=rng.random() < 0.9).encode()
    except (ValueError, RecursionError):
        return mutated(content, rng)


def value_mutated(value: Any, rng: random.Random) -> Any:
    """A value of JSON with something in it replaced, added, removed or named otherwise."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        return _object_mutated(value, rng)
    if isinstance(value, list) and value and rng.random() < 0.8:
        k = rng.randrange(len(value))
        changed = rng.choice(([], [value_mutated(value[k], rng)], [value[k]] * 3))
        return [*value[:k], *changed, *value[k + 1 :]]
    return rng.choice(_VALUES)


def _object_mutated(value: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    name = rng.choice(list(value))
    rest = {key: each for key, each in value.items() if key != name}
    match rng.randrange(8):
        case 0:
            return rest
        case 1:
            return {**value, str(rng.choice(_VALUES)): rng.choice(_VALUES)}
        case 2:
            return {**rest, rng.choice(list(value)): value[name]}
    return {**value, name: value_mutated(value[name], rng)}


def zipped(members: Sequence[tuple[str, bytes]], compression: int) -> bytes:
    """An archive, whose checksums are right whatever it holds."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def npz_mutated(content: bytes, rng: random.Random) -> bytes:
    """An archive with members that are damaged before they are packed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, _beginning(archive, info)) for info in archive.infolist()]
    except Exception:
        return mutated(content, rng)
    if not members:
        return mutated(content, rng)
    k = rng.randrange(len(members))
    members[k] = (members[k][0], mutated(members[k][1], rng))
    return zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _beginning(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        return stream.read(2**16)


def safetensors_mutated(content: bytes, rng: random.Random) -> bytes:
    """A model file with another header, whose length is right."""
    length = struct.unpack("<Q", content[:8].ljust(8, b"\0"))[0]
    head, tensors = content[8 : 8 + length], content[8 + length :]
    try:
        document = json.loads(head)
        if rng.random() < 0.7:
            described = document["__metadata__"]
            described["aes_lipi"] = json_mutated(described["aes_lipi"].encode(), rng).decode()
        else:
            document = value_mutated(document, rng)
        head = json.dumps(document).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        head = mutated(head, rng)
    return struct.pack("<Q", len(head)) + head + tensors


def parquet_mutated(content: bytes, rng: random.Random) -> bytes:
    """A Parquet file with another footer, whose length is right."""
    length = int.from_bytes(content[-8:-4], "little")
    start = max(0, len(content) - 8 - length)
    change = rng.choice((mutated, with_another_size, with_a_longer_list))
    footer = change(content[start:-8], rng)
    return content[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def with_a_longer_list(content: bytes, rng: random.Random) -> bytes:
    """A list of structures of Thrift that says that it is longer."""
    places = [
        k for k in range(len(content) - 1) if content[k] == 0x19 and content[k + 1] & 15 == 12
    ]
    if not places:
        return content
    k = rng.choice(places)
    return content[: k + 1] + b"\xfc" + varint(rng.choice(_SIZES)) + content[k + 2 :]


def varint(number: int) -> bytes:
    """A number in seven bits a byte, as Thrift writes it."""
    digits = []
    while number >= 128:
        digits.append(number % 128 | 128)
        number //= 128
    return bytes([*digits, number])
