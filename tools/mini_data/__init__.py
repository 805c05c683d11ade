"""The parts of tools/mini_dataset.py, one file for each step (fetch, choose, name, picture,
caption, pack)."""
