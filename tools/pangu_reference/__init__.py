"""A second implementation of PanGu-Draw 3 in plain torch and NumPy: see
tools/pangu_reference.py."""
