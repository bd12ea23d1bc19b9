"""Real PostgreSQL and MariaDB servers for the tests: on loopback, on free ports, gone with the process that asked.

`keeper` is a process that owns the servers and their temporary folder; `client` starts one and speaks to it;
`daemon`, `postgres`, `mariadb` and `debian` are what it runs; `databases` makes and drops databases on a server.
"""
