"""Over-the-air update of the application (docs/update.md): which releases there are, getting, trying and leaving them.

Nothing of it runs in the controller but `announced`, which reads what an update says of itself; the rest are commands
of root, and units that systemd starts. `release_*` are the tools of who makes releases.
"""
