"""Results: Parquet out and in, written so that a trial is there whole or not at all."""
