"""What users add to the built-in choices: found, imported, and held to the rules."""
