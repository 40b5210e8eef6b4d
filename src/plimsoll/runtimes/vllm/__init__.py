"""What vllm takes, how it is started."""
