"""Analysis: from a study's Parquet files to tables."""
