"""Published studies computed again from their raw data, with what they left out."""
