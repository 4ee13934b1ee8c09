"""The modules of this folder are a program of their own, which tests/test_fuzz.py runs."""

collect_ignore_glob = ["*.py"]
