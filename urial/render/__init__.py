"""What a comparison looks like outside the page: the token view, reports, tables, the command that repeats it."""
