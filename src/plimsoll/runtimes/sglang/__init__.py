"""What sglang takes, how it is started."""
