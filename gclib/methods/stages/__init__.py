"""Stages of the methods that have some of their own: to import this registers all of them, and the losses they use."""

import importlib
import pkgutil

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
