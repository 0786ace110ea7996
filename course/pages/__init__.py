"""What `look` and `ladder` draw: the numbers, and the pages and the picture that are made of them."""
