"""Training for any module that returns (logits, loss). Knows neither `gpt` nor `course`."""
