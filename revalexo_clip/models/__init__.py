"""Networks: encoders, the dual encoder and the activity classifier."""
