"""One file per command group of `vigie`."""
