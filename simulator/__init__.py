"""A plant that wears, breaks and is repaired. Imports only plant, so ground truth cannot leak."""
