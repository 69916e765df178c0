"""Files of any room: whole or not at all."""
