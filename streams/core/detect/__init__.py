"""Looks for what is unusual, in order of time, and tells when an episode begins and ends."""
