"""What a run is asked for: the flags as dataclasses, recipes, other trainers' spellings, the help page."""
