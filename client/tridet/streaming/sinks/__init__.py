"""Where the results of a stream go: files, windows, servers, hooks; each on its own thread."""
