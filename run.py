"""Run a study: `python run.py --rq NAME`. The same as the command `aes-lipi run`."""

from aes_lipi.cli import main

if __name__ == "__main__":
    main("run.py")
