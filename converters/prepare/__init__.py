"""Records from many sources, cleaned and split into a dataset that can be trained on."""
