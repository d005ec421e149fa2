"""Text forms that readings come in: each parser turns one line into readings or says why not."""
