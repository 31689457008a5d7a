"""What an encoder is worth, as pure functions of what it makes of a set of windows."""
