"""The data tables of charts, read by a model into the records of a data set."""
