"""The report on arms: ways of beginning with an encoder, at several shares of the labels."""
