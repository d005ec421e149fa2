"""What a series will do: forecasts with their uncertainty, trends, and when a limit is reached."""
