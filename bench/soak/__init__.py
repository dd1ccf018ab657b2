"""``python -m bench.soak``: everything goes wrong at random, for minutes, and nothing may leak."""
