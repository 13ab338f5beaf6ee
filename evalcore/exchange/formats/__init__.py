"""One module for each tool: what its files say, as our records."""
