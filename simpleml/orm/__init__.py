"""The database: mapped records, transactions, versions, and the rows that announce stored bytes.

`connections` opens databases, and says which is the current one. A `database` keeps, finds and deletes records; it stands on
`transactions`, which runs work, `blocks`, which groups writes, and `units`, which commits them (T3). `schema` makes its tables,
`persistable` maps the kinds, `queries` asks for records, `graph` follows lineage, `blobs` and `ledger` announce and claim bytes
(T1, T3), `claims` lets one of several processes do what all want done, `dialects` is the only file that names a database product.
"""

from simpleml.orm.connections import connect, current, disconnect, open_database, transaction
from simpleml.orm.database import Database
from simpleml.orm.persistable import ORMDataset, ORMGeneral, ORMMetric, ORMModel, ORMPersistable, ORMPipeline

__all__ = [
    "Database",
    "ORMDataset",
    "ORMGeneral",
    "ORMMetric",
    "ORMModel",
    "ORMPersistable",
    "ORMPipeline",
    "connect",
    "current",
    "disconnect",
    "open_database",
    "transaction",
]
