"""What transformers takes, how it is started."""
