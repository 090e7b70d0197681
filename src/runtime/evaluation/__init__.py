"""How good a model is: the probabilities it gives to texts, last words and choices."""
