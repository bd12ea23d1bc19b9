"""The database: mapped records, transactions, versions, and the rows that announce stored bytes.

`connections` says which database is current, `database` runs transactions, `units` commits (T3), `blobs` announces and
claims bytes (T1, T3), `claims` lets one of several processes do what all want done, `persistable` maps the kinds, `graph`
follows lineage, `dialects` is the only file that names a database product.
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
