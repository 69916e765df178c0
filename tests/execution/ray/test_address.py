"""Which cluster is joined: one that is asked for, or one that nobody else can have named."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aes_lipi.errors import UserError
from aes_lipi.execution.ray import address as rules
from aes_lipi.execution.ray.address import Chosen, find_cluster
from aes_lipi.execution.ray.connection import connected
from aes_lipi.execution.ray.nodes import SilentNodes

SETTINGS = bytes.fromhex("000000040000000000")


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Something listens here, and answers whoever calls; with None, it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with ExitStack() as calls:
                while True:
                    try:
                        connection = calls.enter_context(server.accept()[0])
                    except OSError:
                        return
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a Ray leaves word of itself."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray").chmod(0o777)  # as Ray leaves it
    return tmp_path / "ray" / "ray_current_cluster"


def test_a_cluster_of_ones_own_is_found_where_it_says_it_is(
    word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_cluster() == Chosen(None)
    with pytest.raises(UserError, match="--address auto: no Ray is running on this machine"):
        find_cluster("auto")
    with answering(SETTINGS) as address:
        word.write_text(address)
        assert find_cluster() == find_cluster("auto") == Chosen(address)
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        assert find_cluster() == Chosen(address)
        monkeypatch.setenv("RAY_ADDRESS", "nowhere:99999")
        with pytest.raises(UserError, match="nowhere:99999: nothing answers"):
            find_cluster()
        assert find_cluster(address) == Chosen(address)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no Ray"),
        (b"", "what answers there is no Ray"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there is no Ray"),
        (None, "nothing answers there within"),
    ],
)
def test_what_is_no_ray_is_told_within_seconds(
    answer: bytes | None, said: str, word: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with answering(answer) as address:
        word.write_text(address)
        found = find_cluster()
        assert found.address is None
        assert said in found.remark
        with pytest.raises(UserError, match=f"^Ray cluster {address}: {said}[^\n]+$"):
            find_cluster(address)
    assert time.monotonic() - started < 10
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"nowhere", b"\xff", b"1:99999999", b"\x1b[2J:80"])
def test_a_word_that_is_no_address_is_one_printable_line(content: bytes, word: Path) -> None:
    word.write_bytes(content)
    found = find_cluster()
    assert found.address is None
    assert found.remark.isprintable()


@pytest.mark.parametrize("how", ["a link", "others may write", "belongs to another user"])
def test_a_word_that_somebody_else_may_have_left_is_not_followed(how: str, word: Path) -> None:
    with answering(SETTINGS) as address:
        target = word.with_name("target") if how == "a link" else word
        target.write_text(address)
        if how == "a link":
            word.symlink_to(target)
        elif how == "others may write":
            word.chmod(0o666)
        elif os.geteuid() == 0:
            os.chown(word, 61001, 61001)
        else:
            pytest.skip("only root can give a file to somebody else")
        found = find_cluster()
    assert found.address is None
    assert how in found.remark


def test_nodes_that_give_no_answer_are_named_with_the_time_since() -> None:
    watched = SilentNodes()
    with answering(None) as frozen, answering(SETTINGS) as well:
        nodes = [
            {
                "NodeManagerAddress": "127.0.0.1",
                "NodeManagerHostname": name,
                "NodeManagerPort": address.rpartition(":")[2],
            }
            for name, address in (("frozen", frozen), ("well", well))
        ]
        [(place, since)] = watched.among(nodes)
        assert place == f"{frozen} (frozen)"
        [(_, later)] = watched.among(nodes)
        assert later > since + 1
        assert watched.among(nodes[1:]) == ()


def test_who_listens_is_read_from_the_kernels_table() -> None:
    table = [
        "0: 0100007F:1E79 00000000:0000 0A 00000000:00000000 00:00000000 00000000 61002 0 91 1",
        "1: 0100007F:1E79 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 61003 0 92 1",
        "2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0 0 93 1",
    ]
    assert rules._users(table, 0x1E79) == {61002}  # the second is a connection
    assert rules._users(table, 8080) == {0}
    assert rules._users(table, 1) == set()


def test_a_token_that_others_may_read_is_not_taken_to_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with (
        pytest.raises(UserError, match=f"others may read {token}; chmod 600 {token}, and a new"),
        connected("127.0.0.1:1"),
    ):
        pass
