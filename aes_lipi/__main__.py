"""`python -m aes_lipi` is the command `aes-lipi`."""

from aes_lipi.cli import main

if __name__ == "__main__":
    main()
