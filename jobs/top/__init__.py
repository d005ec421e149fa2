"""The live view: what is stored, read back by SQL, and how the pipeline does."""
