"""What llama_cpp takes, how it is started."""
