"""Alembic's scripts. They travel inside the package and run by themselves."""
