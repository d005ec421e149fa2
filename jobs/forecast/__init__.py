"""Forecasts of series by the hour: made from rollups, stored, and later held against what happened."""
