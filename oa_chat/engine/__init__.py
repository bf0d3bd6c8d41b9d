"""Models in child processes: the parent's side is `process`, the child's side is `worker`.

The parent never imports llama_cpp or ctypes-loaded code; only modules that `worker` imports do.
"""
