"""What our figures are compared with, each a program of its own: the least that could do the same."""
