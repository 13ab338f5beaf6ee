"""Other tools' files: read into the workspace, and written from it."""
