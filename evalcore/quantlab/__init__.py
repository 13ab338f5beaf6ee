"""The quantisation lab: what each quantised form of a model costs, and what it saves."""
