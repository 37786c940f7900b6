"""A model behind HTTP: what `scripts/serve.py` reads of requests, answers, and shows in a browser."""
