"""Statistics of votes and scores: pure functions of arrays, results as records with intervals."""
