"""What every server here stands on: sockets and servers, guarded bodies, streams that end with their client."""
