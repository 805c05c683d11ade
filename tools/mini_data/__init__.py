"""Parts of tools/mini_dataset.py: one file a step (fetch, choose, name, picture, caption, pack)."""
