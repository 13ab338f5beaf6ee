"""The stack lab: what each adapter of a stack contributes, and which get in each other's way."""
