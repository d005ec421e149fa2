"""How long readings and rollups are kept: policies, and what carries them out."""
