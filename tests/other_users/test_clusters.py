"""Rays of several users on one machine: whose is joined, and who gets into ours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import wait_until

from other_users.machine import UIDS, Machine

pytestmark = pytest.mark.xdist_group("other users")  # one machine of two users

QUICK = ("--rq", "quickstart", "--trials", "1", "--epochs", "1", "--engine", "torch", "--jobs", "1")
SMALL = ("--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--device", "cpu")
WORD = "/tmp/ray/ray_current_cluster"
LISTENER = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("listens", flush=True)
    while True:
        connection, _ = server.accept()
        print("called", connection.recv(100), flush=True)
        connection.sendall(bytes.fromhex("000000040000000000"))  # as gRPC does
        connection.close()
"""


@pytest.fixture(scope="module")
def trap(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """Bob listens where ada would look for a cluster."""
    with machine.popen("bob", sys.executable, "-c", LISTENER, 7801) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listens\n"
        yield process
        process.kill()


def heard(trap: subprocess.Popen[str]) -> list[str]:
    """What bob's listener was told since it was asked last."""
    assert trap.stdout is not None
    os.set_blocking(trap.stdout.fileno(), False)
    try:
        return trap.stdout.read().splitlines()
    except TypeError:  # nothing
        return []


def runs_here(machine: Machine, folder: str, **environment: str) -> str:
    """Run a small study as ada, who did not ask for a cluster: what it says of Ray."""
    words = [sys.executable, "-m", "aes_lipi", "run", *QUICK, *SMALL, "--output_dir", folder]
    said = machine.run("ada", *words, **environment)
    assert said.returncode == 0, said.stderr
    models = list(machine.path(folder).glob("models/*/*.safetensors"))
    assert {each.stat().st_uid for each in models} == {UIDS["ada"]}
    return "\n".join(line for line in said.stderr.splitlines() if "Ray" in line)


def test_word_of_a_cluster_that_another_user_left_is_not_followed(
    machine: Machine, trap: subprocess.Popen[str]
) -> None:
    """Bob was there first: the folder of all users' Rays is his, and its file."""
    machine.folder("bob", "/tmp/ray", 0o777)
    machine.write("bob", WORD, "127.0.0.1:7801")
    [line] = runs_here(machine, "/home/ada/one").splitlines()
    assert line.startswith(f"here, not on the Ray cluster of {WORD}: {WORD} belongs to another")
    assert heard(trap) == []  # not even a connection


def test_a_port_that_another_user_took_over_is_not_followed(
    machine: Machine, trap: subprocess.Popen[str]
) -> None:
    """Ada's own Ray ended, and left word of where it was."""
    machine.path("/tmp/ray").mkdir(exist_ok=True)
    os.chown(machine.path("/tmp/ray"), UIDS["ada"], UIDS["ada"])
    machine.path(WORD).unlink(missing_ok=True)
    machine.write("ada", WORD, "127.0.0.1:7801")
    code = "from aes_lipi.execution.ray.address import find_cluster; print(find_cluster())"
    line = machine.run("ada", sys.executable, "-c", code, RAY_ADDRESS="auto").stdout
    assert "address=None" in line
    assert f"a process of another user (uid {UIDS['bob']}) listens there" in line
    assert not [each for each in heard(trap) if "token" in each.lower()]


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """Ada runs a long study on a Ray that is started for it, its mode and umask what they are."""
    long = ["--rq", "quickstart", "--trials", "1", "--epochs", "1000000", "--engine", "torch"]
    with machine.popen(
        "ada",
        *[sys.executable, "-m", "aes_lipi", "run", *long, "--output_dir", "/home/ada/long"],
        *["--address", "local", "--placement", "trial"],
        RAY_AUTH_MODE="disabled",
    ) as process:

        def is_at_work() -> bool:
            assert process.poll() is None, process.communicate()
            return any("ray::run_whole" in line for line in machine.processes("ada").values())

        wait_until(is_at_work)
        yield process
        process.kill()


def own_folder(machine: Machine) -> Path:
    [folder] = machine.path("/tmp").glob("aes-lipi-*")
    return folder


def variables(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_our_ray_is_ours_alone(machine: Machine, driver: subprocess.Popen[str]) -> None:
    folder = own_folder(machine)
    assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, UIDS["ada"])
    assert not machine.path("/home/ada/.ray").exists()  # no token is left in a file
    mine = machine.processes("ada")
    [head] = [pid for pid, line in mine.items() if "gcs_server" in line]
    token = variables(head)["RAY_AUTH_TOKEN"]
    assert (variables(head)["RAY_AUTH_MODE"], len(token)) == ("token", 64)
    assert not any(token in line for line in mine.values())
    written = subprocess.run(["grep", "-rl", token, folder], capture_output=True, check=False)
    assert written.stdout == b""
    listeners = machine.run("root", "ss", "-ltnH").stdout
    places = {line.split()[3].rpartition(":")[0] for line in listeners.splitlines()}
    assert places <= {"127.0.0.1", "[::ffff:127.0.0.1]"}


def test_another_user_does_not_get_into_our_ray(
    machine: Machine, driver: subprocess.Popen[str]
) -> None:
    folder = "/tmp/" + own_folder(machine).name
    assert machine.run("bob", "ls", folder).returncode == 2
    [head] = [line for line in machine.processes("ada").values() if "gcs_server" in line]
    found = re.search(r"--node-ip-address=(\S+)", head)
    assert found is not None
    assert found[1] == "127.0.0.1"
    ports = {
        line.split()[3].rpartition(":")[2]
        for line in machine.run("root", "ss", "-ltnpH").stdout.splitlines()
        if "gcs_server" in line
    }
    [port] = ports
    code = (
        "import ray\n"
        "from ray._raylet import GcsClient\n"
        f"print(GcsClient(address='127.0.0.1:{port}').get_all_node_info())\n"
    )
    said = machine.run(
        "bob", sys.executable, "-c", code, RAY_gcs_server_request_timeout_seconds="5"
    )
    assert said.returncode != 0
    assert "uthentic" in said.stderr, said.stderr[-2000:]


def test_nothing_of_our_ray_outlives_a_killed_driver(
    machine: Machine, driver: subprocess.Popen[str]
) -> None:
    [pid] = [pid for pid, line in machine.processes("ada").items() if "--address local" in line]
    assert len(machine.processes("ada")) > 5
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not machine.processes("ada"))
    wait_until(lambda: not list(machine.path("/tmp").glob("aes-lipi-*")))
