"""What is said about speed and memory, printed as tables: `make bench`, or `python -m benchmarks`.

Each module measures one thing beside its peer in the same run; none of them is a test.
"""
