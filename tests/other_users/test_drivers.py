"""A driver of one user beside commands of another, where `/proc` hides the one from the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from patience import PATIENCE_S, wait_until

from other_users.machine import REPOSITORY, Machine

pytestmark = pytest.mark.xdist_group("other users")  # one machine of two users

DRIVER = REPOSITORY / "tests" / "results" / "driver.py"
FOLDER = "/home/shared/study"


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """Ada runs a study in a folder that bob may write, too; one trial is committed."""
    machine.folder("ada", "/home/shared", 0o777)
    machine.folder("ada", FOLDER, 0o777)
    with machine.popen("ada", sys.executable, DRIVER, FOLDER, 0, "hang") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        yield process
        process.kill()


def locks(machine: Machine) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in machine.path(FOLDER).glob("lock-*.json")}


def test_the_other_user_sees_no_process_of_the_first(
    machine: Machine, driver: subprocess.Popen[str]
) -> None:
    [lock] = locks(machine).values()
    pid = json.loads(lock)["process"]["pid"]
    assert machine.run("bob", "ls", f"/proc/{pid}").returncode == 2
    assert machine.run("ada", "ls", f"/proc/{pid}").returncode == 0


def test_status_says_that_the_driver_lives(machine: Machine, driver: subprocess.Popen[str]) -> None:
    said = machine.command_line("bob", "status", FOLDER, "--json")
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["driver"]["alive"] is True


@pytest.mark.parametrize("command", ["clean", "run"])
def test_a_command_that_writes_is_refused_and_takes_nothing_away(
    command: str, machine: Machine, driver: subprocess.Popen[str]
) -> None:
    before = locks(machine)
    if command == "clean":
        said = machine.command_line("bob", "clean", FOLDER)
    else:
        said = machine.run("bob", sys.executable, DRIVER, FOLDER, 1)
    assert said.returncode == 2
    [line] = said.stderr.splitlines()
    assert "in use by process" in line
    assert "its lock ends within" in line  # a process that cannot be seen is judged by its signs
    assert locks(machine) == before


def test_once_the_driver_is_killed_the_kernel_says_so_to_everybody(
    machine: Machine, driver: subprocess.Popen[str]
) -> None:
    pids = [pid for pid, line in machine.processes("ada").items() if str(DRIVER) in line]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    driver.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not machine.processes("ada"))
    said = machine.command_line("bob", "status", FOLDER, "--json")
    assert json.loads(said.stdout)["driver"]["alive"] is False
    cleaned = machine.command_line("bob", "clean", FOLDER)
    assert "which is gone" in cleaned.stdout, cleaned.stderr
    assert locks(machine) == {}


def test_a_process_of_another_namespace_is_judged_by_its_signs_of_life(machine: Machine) -> None:
    """Though `/proc` there is that of the namespace above, with other processes under the ids."""
    script = (
        "from aes_lipi.results.processes import this_process\n"
        "import subprocess, sys\n"
        "me = this_process()\n"
        "print(me.is_local(), me.existence())\n"
        "code = f'from aes_lipi.results.processes import Process; p = {me!r}; '\n"
        "code += 'print(p.is_local(), p.existence())'\n"
        "sys.stdout.flush()\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
        "subprocess.run(['unshare', '--pid', '--fork', sys.executable, '-c', code], check=True)\n"
    )
    said = machine.run("root", "unshare", "--pid", "--fork", sys.executable, "-c", script)
    own, child, elsewhere = said.stdout.splitlines()
    assert own == child == "True unknown"  # it is there; which one it is, no /proc here tells
    assert elsewhere.startswith("False ")


def test_a_process_in_sight_is_known(machine: Machine) -> None:
    script = (
        "from aes_lipi.results.processes import this_process, Process; from dataclasses import *\n"
        "me = this_process()\n"
        "print(me.existence(), replace(me, started='1').existence(),"
        " replace(me, pid=2**22).existence(), replace(me, started='').existence(),"
        " replace(me, pid=1).existence())"
    )
    assert machine.run("bob", sys.executable, "-c", script).stdout.split() == [
        "runs",
        "gone",
        "gone",
        "unknown",
        "unknown",  # root's, and hidden
    ]
