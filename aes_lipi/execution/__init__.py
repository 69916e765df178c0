"""Execution: trials run in this process, or in many."""
