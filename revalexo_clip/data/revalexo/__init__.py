"""RevalExo's folder layout: reading it, checking it and packing it."""
