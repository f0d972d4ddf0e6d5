"""What visitors think of answers: lines in FastChat's log format, the log that keeps them, and what the votes say."""
