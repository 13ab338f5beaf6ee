"""Votes for other tools: vote files, LMArena's battles, preference data for training."""
