"""Bad input and hostile files: a user's error of one line, in bounded time and memory."""
