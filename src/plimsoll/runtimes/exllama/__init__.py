"""What exllama takes, how it is started."""
