"""Networks in several libraries, trained and asked as their users would, for `compare.py`."""
