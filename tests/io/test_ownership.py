"""Whether anybody else can have written, or can read, a file: by what `lstat` says of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aes_lipi.io.ownership import Account, Owned, fault, read_own, seen, this_account

OURS, GROUP, OTHER = 1001, 1001, 1002
ME = Account(OURS, GROUP)


def file(mode: int = 0o644, uid: int = OURS, gid: int = GROUP, kind: int = stat.S_IFREG) -> Owned:
    return Owned("/tmp/ray/word", uid, gid, kind | mode)


def folder(path: str, mode: int, uid: int, gid: int = GROUP, kind: int = stat.S_IFDIR) -> Owned:
    return Owned(path, uid, gid, kind | mode)


TOP = folder("/", 0o755, 0, 0)
TMP = folder("/tmp", 0o1777, 0, 0)
RAY = folder("/tmp/ray", 0o777, OURS)  # as Ray opens it to all
CLOSED = folder("/home/me", 0o700, OURS)
NFS = folder("/tmp", 0o777, 0, 0)


@pytest.mark.parametrize(
    "chain",
    [
        [file(), RAY, TMP, TOP],  # what `ray start` and `ray up` leave
        [file(0o664), RAY, TMP, TOP],  # with the umask of a user who has a group alone
        [file(uid=0, gid=0), folder("/tmp/ray", 0o777, 0), TMP, TOP],  # root's Ray, for all
        [file(), folder("/tmp/ray", 0o1777, OURS), TMP, TOP],
        [file(0o600), CLOSED, folder("/home", 0o755, 0, 0), TOP],
        [file(), folder("/run/me/ray", 0o775, OURS), folder("/run/me", 0o755, 0, 0), TOP],
        [file(), RAY, folder("/scratch", 0o777, 0, 0, stat.S_IFLNK), TMP, TOP],  # root's link
    ],
)
def test_what_is_ones_own_or_roots_is_believed(chain: list[Owned]) -> None:
    assert fault(chain, ME, opened=True) is None


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ([file(uid=OTHER), RAY, TMP, TOP], "word belongs to another user (uid 1002)"),
        ([file(uid=65534), RAY, TMP, TOP], "word belongs to another user (uid 65534)"),
        ([file(), folder("/tmp/ray", 0o777, OTHER), TMP, TOP], "/tmp/ray belongs to another user"),
        ([file(), folder("/tmp/ray", 0o755, OTHER), TMP, TOP], "/tmp/ray belongs to another user"),
        ([file(0o666), RAY, TMP, TOP], "others may write /tmp/ray/word"),
        ([file(0o664, gid=100), RAY, TMP, TOP], "others may write /tmp/ray/word"),
        ([file(), RAY, NFS, TOP], "others may write in /tmp"),
        ([file(), RAY, folder("/tmp", 0o775, 0, 100), TOP], "others may write in /tmp"),
        ([file(), RAY, folder("/tmp/bob", 0o1777, OTHER), TMP, TOP], "/tmp/bob belongs to another"),
        ([file(kind=stat.S_IFLNK), RAY, TMP, TOP], "word is a link"),
        ([file(kind=stat.S_IFIFO), RAY, TMP, TOP], "word is not a file"),
        ([file(kind=stat.S_IFDIR), RAY, TMP, TOP], "word is not a file"),
        (
            [file(), RAY, folder("/scratch", 0o777, OTHER, kind=stat.S_IFLNK), TMP, TOP],
            "/scratch belongs to another user",
        ),
    ],
)
def test_what_somebody_else_can_have_written_is_not(chain: list[Owned], why: str) -> None:
    found = fault(chain, ME, opened=True)
    assert found is not None
    assert why in found


def test_a_folder_that_is_open_to_all_is_believed_only_where_that_is_known_of_it() -> None:
    assert fault([file(), RAY, TMP, TOP], ME) == "others may write in /tmp/ray"
    two = [file(), RAY, folder("/tmp/x", 0o777, OURS), TMP, TOP]
    assert fault(two, ME, opened=True) == "others may write in /tmp/x"


@pytest.mark.parametrize(
    ("mode", "gid", "open_to"),
    [
        (0o600, GROUP, False),
        (0o400, GROUP, False),
        (0o640, GROUP, False),  # of nobody else
        (0o640, 100, True),
        (0o604, GROUP, True),
        (0o644, GROUP, True),
    ],
)
def test_a_secret_is_read_by_nobody_else(mode: int, gid: int, open_to: bool) -> None:
    found = fault([file(mode, gid=gid), CLOSED, TOP], ME, secret=True)
    assert found == ("others may read /tmp/ray/word" if open_to else None)


def test_a_group_that_others_are_in_is_others() -> None:
    assert fault([file(0o664), CLOSED, TOP], Account(OURS)) == "others may write /tmp/ray/word"


def test_what_a_link_above_stands_for_is_looked_at_too(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (real / "word").write_text("x")
    places = [each.path for each in seen(tmp_path / "link" / "word")]
    assert places[0] == str(tmp_path / "link" / "word")
    assert {str(tmp_path / "link"), str(real), "/"} <= set(places)
    assert read_own(tmp_path / "link" / "word", 10) == b"x"
    real.chmod(0o777)
    with pytest.raises(PermissionError, match=f"others may write in {real}"):
        read_own(tmp_path / "link" / "word", 10)


def test_this_account_is_the_user_of_the_process() -> None:
    assert this_account().uid == os.geteuid()
