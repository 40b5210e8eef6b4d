"""What tensorrt_llm takes, how it is started."""
