"""Ids and text of one model: conversations under its template, streams of pieces, names of single tokens."""
