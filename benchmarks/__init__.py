"""Speed and memory, as commands that print one JSON line of figures, each with its peer or limit from the same run."""
