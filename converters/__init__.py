"""Commands that scrape, prepare, train, convert and evaluate safety models."""
