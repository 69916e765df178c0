"""Whose a file is: whether anybody but this user, and root, can have written or can read it.

Machines are shared, and so is the folder for temporary files. What is followed or believed because
it lies there must be this user's own, or root's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = 0


@dataclass(frozen=True)
class Account:
    """A user.

    Attributes:
        uid: of the user.
        group: of nobody else, as many systems give one to each user; None if there is none.
    """

    uid: int
    group: int | None = None


@dataclass(frozen=True)
class Owned:
    """What `lstat` says of a file or folder.

    Attributes:
        path: its place.
        uid: of its owner.
        gid: of its group.
        mode: kind and permissions.
    """

    path: str
    uid: int
    gid: int
    mode: int


def this_account() -> Account:
    """The user that this process is of."""
    uid = os.geteuid()
    try:
        import grp  # noqa: PLC0415 - not on every system
        import pwd  # noqa: PLC0415

        user = pwd.getpwuid(uid)
        group = grp.getgrgid(user.pw_gid)
    except (ImportError, KeyError):
        return Account(uid)
    alone = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return Account(uid, user.pw_gid if alone else None)


def seen(path: Path) -> list[Owned]:
    """A file and the folders above it, from the file to the root; links among them as links.

    Folders that a link stands for are there, too, with those above them.

    Raises:
        OSError: there is no such file, or a folder above it cannot be entered.
    """
    places = [path, *path.parents]
    real = Path(os.path.realpath(path.parent))
    if real != path.parent:
        places += [real, *real.parents]
    facts = [(place, place.lstat()) for place in dict.fromkeys(places)]
    return [Owned(str(place), each.st_uid, each.st_gid, each.st_mode) for place, each in facts]


def fault(
    chain: Sequence[Owned], account: Account, *, secret: bool = False, opened: bool = False
) -> str | None:
    """What speaks against trusting a file; None if it is the user's own, or root's.

    Args:
        chain: the file, and the folders above it from the nearest on.
        account: the user.
        secret: whether nobody else may read it.
        opened: whether the folder that it lies in may be open to all, as Ray opens its own: the
            file's owner has to answer for it then.
    """
    file, *folders = chain
    if stat.S_ISLNK(file.mode):
        return f"{file.path} is a link"
    if not stat.S_ISREG(file.mode):
        return f"{file.path} is not a file"
    if file.uid not in (account.uid, _ROOT):
        return f"{file.path} belongs to another user (uid {file.uid})"
    if _open_to_others(file, account, stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write {file.path}"
    if secret and _open_to_others(file, account, stat.S_IRGRP | stat.S_IROTH):
        return f"others may read {file.path}"
    return folder_fault(folders, account, opened=opened)


def folder_fault(folders: Sequence[Owned], account: Account, *, opened: bool = False) -> str | None:
    """What speaks against trusting that what lies in a folder is what the user put there.

    Args:
        folders: the folder, and those above it from the nearest on.
        account: the user.
        opened: see `fault`.
    """
    for k, folder in enumerate(folders):
        if folder.uid not in (account.uid, _ROOT):
            return f"{folder.path} belongs to another user (uid {folder.uid})"
        if stat.S_ISLNK(folder.mode):
            continue  # its permissions mean nothing; what it stands for comes later
        shared = folder.mode & stat.S_ISVTX or (opened and k == 0)
        if not shared and _open_to_others(folder, account, stat.S_IWGRP | stat.S_IWOTH):
            return f"others may write in {folder.path}"
    return None


def _open_to_others(owned: Owned, account: Account, bits: int) -> bool:
    """Whether somebody else has one of some permissions."""
    if owned.gid == account.group:
        bits &= stat.S_IRWXO
    return bool(owned.mode & bits)


def read_own(path: Path, longest: int, *, opened: bool = False) -> bytes:
    """What is in a file that nobody else can have written.

    Args:
        path: of the file; a link is not followed.
        longest: bytes that are read at most.
        opened: see `fault`.

    Raises:
        OSError: there is no such file, or it cannot be read.
        PermissionError: somebody else can have written it; the message says how.
    """
    account = this_account()
    chain = seen(path)
    complaint = fault(chain, account, opened=opened)
    if complaint is None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)  # of the file that is read, whatever has its name now
            known = Owned(str(path), facts.st_uid, facts.st_gid, facts.st_mode)
            complaint = fault([known, *chain[1:]], account, opened=opened)
            if complaint is None:
                return stream.read(longest)
    raise PermissionError(complaint)
