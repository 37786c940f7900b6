"""Layers of several libraries in one form, and the checks that all of them get, for `conformance_peers.py`."""
