"""Tools beside the library: a quick check of gradients, a profile of functions, a log in colour."""
