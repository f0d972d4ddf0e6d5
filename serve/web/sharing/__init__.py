"""What a visitor takes home or gives back: files, a link, votes on answers, a log that asks first."""
