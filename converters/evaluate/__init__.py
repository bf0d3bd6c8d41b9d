"""What a guard is worth: metrics, plots, comparisons and cards."""
