"""Real servers for the tests: on loopback, on free ports, gone with the process that asked.

`keeper` is a process that owns the servers and their temporary folder; `client` starts one and speaks to it. It runs
`daemon`s: `postgres`, `mariadb`, `swift` (S3, in `swift_server`), `azurite` (Azure) and `openssh` (SFTP); `debian`
unpacks what comes from there. `databases` makes and drops databases on a server; `places` makes buckets, containers and
folders; `proxy` stands between a client and a server and does harm.
"""
