"""Guard families: what to ask a safety model, and how to read its answer."""
