"""What is forked from a process that stands by is like what is started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from patience import PATIENCE_S

FACTS = """
import os, sys
print(os.getppid(), os.getcwd(), sys.argv[1:], os.environ["MINE"], __name__, sys.path[:2])
print("on the side", file=sys.stderr)
raise SystemExit(7)
"""


def test_it_is_a_child_with_streams_a_folder_and_an_environment_of_its_own(tmp_path: Path) -> None:
    done = warm.run(
        [sys.executable, "-c", FACTS, "a", "b"],
        cwd=tmp_path,
        env={"MINE": "x", "PYTHONPATH": "/there"},
    )
    here = (os.getpid(), tmp_path, ["a", "b"], "x", "__main__", ["", "/there"])
    assert (done.returncode, done.stderr) == (7, "on the side\n")
    assert done.stdout == " ".join(map(str, here)) + "\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_as_it_ends_others(sent: signal.Signals) -> None:
    code = "import time; print('here', flush=True); time.sleep(6000)"
    command = [sys.executable, "-c", code]
    with warm.start(command, stdout=subprocess.PIPE, stderr=-3, new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert os.getsid(process.pid) == process.pid
        process.send_signal(sent)
        assert process.wait(timeout=PATIENCE_S) == -sent


def test_it_ends_with_a_test_that_fails() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(6000)"]
    with pytest.raises(AssertionError), warm.start(command) as process:
        raise AssertionError
    assert process.returncode == -signal.SIGKILL


def test_an_error_is_told_as_the_interpreter_tells_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import atexit; atexit.register(print, 'bye'); print(__file__); 1 / 0")
    done = warm.run([sys.executable, script])
    assert (done.returncode, done.stdout) == (1, f"{script}\nbye\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
