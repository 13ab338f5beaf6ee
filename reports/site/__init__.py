"""The leaderboard as a folder of pages that need no server."""
