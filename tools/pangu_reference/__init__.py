"""PanGu-Draw 3 stated a second time, in plain torch and NumPy: see tools/pangu_reference.py."""
