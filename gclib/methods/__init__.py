"""One file per method with its recipes, found here by `gclib.recipes`.

What trains a method stands in `gclib.methods.stages`: recipes are read without torch, whose import takes seconds.
"""
