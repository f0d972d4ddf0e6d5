"""What goes over the wire: FastChat's messages, their fields, error codes and conversation templates."""
