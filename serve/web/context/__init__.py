"""What surrounds the figure and is given to the model with it: the caption, and all of it word for word."""
