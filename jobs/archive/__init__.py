"""Readings as Parquet files: written before they are dropped, verified, and restored."""
