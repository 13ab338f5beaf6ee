"""Studies: fixed prompts and answers, rated to a plan that is known beforehand."""
