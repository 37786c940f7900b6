"""What training minimises: the mean over observations of -log p(y | x, w), and the KL term beside it."""
