"""Facts that ship with the code: models, devices, sources. Data files, their loaders and their lint."""
