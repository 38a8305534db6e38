"""A class of thirty: rooms, guesses, blind votes, tallies, kept in SQLite. No model runs: what is shown is recorded.

`rooms.py` has the rules, `kinds.py` the register of what can be asked, `routes.py` the pages.
Nothing about a person is stored but a random number and a nickname.
"""
