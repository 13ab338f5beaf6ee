"""What a judge's verdicts are worth: its biases, its agreement with people, and both together."""
