"""The administrators' pages: standings, raters and their flags, votes, and the audit log."""
