"""Laws of wear and of flow, one file per idea, each with its source and a test against a figure of it."""
