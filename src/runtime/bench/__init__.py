"""`python -m runtime.bench`: this project beside transformers and llama-cpp-python, on one file and one
machine."""
