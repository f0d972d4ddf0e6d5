"""Data tables of charts: the models that read them, their words as tables, and tables as text."""
