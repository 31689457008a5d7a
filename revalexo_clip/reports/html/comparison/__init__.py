"""The report on variants: ways of beginning with an encoder, at several shares of the labels."""
