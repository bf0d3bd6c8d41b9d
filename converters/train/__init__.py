"""Training of guards, rule writers and small chat models from recipes."""
