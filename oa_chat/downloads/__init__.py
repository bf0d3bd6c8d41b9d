"""Downloads models from the Hugging Face hub: whole and checked, or not at all.

`hub` alone imports huggingface_hub; `partial` is the file that a download grows in; `fetching` the
straight line from a name to a checked file, for the shell and the screen.
"""
