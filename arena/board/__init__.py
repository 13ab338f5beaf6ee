"""The leaderboard's reading page."""
