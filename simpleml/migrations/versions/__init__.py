"""The revisions, oldest first: frozen statements that import nothing of ours, so that no later change can alter the past.

A revision has `upgrade(operations)` and `downgrade(operations)`, which get Alembic's operations for the connection as an
argument (Alembic's global `op` is not safe between threads). On MariaDB and MySQL every statement commits by itself, so
both must be able to run again after they were interrupted; elsewhere a revision happens as a whole or not at all.
"""
