"""One file per method: its stages, and the recipes built from them. `gclib.recipes` finds every file here."""
