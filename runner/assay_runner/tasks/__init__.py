"""Tasks: the files that describe them, the code they bring, and how one document becomes requests and then records."""
