"""Live battles: visitors' own prompts, answered while they watch."""
