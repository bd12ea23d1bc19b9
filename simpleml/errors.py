"""Every error this package raises, as one tree.

Each also inherits the standard exception that a caller would naturally catch. A message says what happened (with the
offending value), what is known (the valid names), and what to do (the call or the command).

```
SimpleMLError
├── ConfigurationError (ValueError)            a settings file, a SIMPLEML_* variable or an argument is wrong
│   └── ProjectError                           a project file is wrong; names the file, the table and the key
├── ExecutorError (RuntimeError)               work could not be sent to where it runs, or its result not back
│   └── WorkerDiedError                        a process that did the work ended before there was a result
├── MissingDependencyError (ImportError)       an extra is not installed; names the pip line
├── RegistryError
│   ├── DuplicateNameError (ValueError)        another thing is registered under this name
│   └── UnknownNameError (LookupError)         nothing is registered under this name; lists what is
├── IdentityError (ValueError)                 a name, version, id or keyword that no object can have
├── HashingError (TypeError)                   a value that has no stable content hash; names the attribute
├── EncodingError (ValueError)                 a value that JSON metadata cannot hold, or JSON that is not ours
├── LineageError (ValueError)
│   ├── UnsavedReferenceError                  a parent has to be saved first
│   └── ReferencedError                        others were made from this record; lists them
├── ImmutableVersionError (ValueError)         a saved version was changed; names new_version()
├── SavePatternError (ValueError)              this pattern cannot hold this object, or does not exist
│   └── SerializationError                     the object could not be turned into bytes, or back
├── StoreError (OSError)                       the place that holds the bytes failed
│   ├── StoreFullError                         no space, or a quota
│   ├── StoreReadOnlyError (PermissionError)   no right to write there
│   └── UnknownStoreError (LookupError)        this machine's settings do not say where the store is
├── ArtifactError
│   ├── ArtifactMissingError (FileNotFoundError)  the stored object is not there
│   ├── ArtifactUnsetError (AttributeError)    the artifact was never set
│   ├── ArtifactDamagedError (ValueError)      its size or digest is not what was saved
│   ├── ArtifactTypeError (TypeError)          the value is not of the declared type
│   └── ArtifactLoadError                      every save pattern failed; carries every cause
├── TrustError (PermissionError)               reading it could run code, and the policy forbids that
├── EnvironmentMismatchError (RuntimeError)    other library versions than those recorded (environment = "strict")
├── DatabaseError (RuntimeError)
│   ├── RecordNotFoundError (LookupError)      no such record; lists what is there
│   ├── WrongClassError (TypeError)            the record is of a class that the caller did not ask for
│   ├── VersionConflictError (ValueError)      this version is taken
│   ├── SchemaError                            the schema is missing, too old or too new; names the command
│   ├── DatabaseReadOnlyError (PermissionError)  the database refuses to be written
│   ├── TransactionError                       a transaction was used in a way it cannot be
│   └── ClaimLostError                         another process took over what this one had claimed, and seemed to have left
├── BundleError (ValueError)                   what is imported is no bundle, is damaged, or conflicts with what is here
├── LegacyError (ValueError)                   what SimpleML 0.14 left cannot be read, or not here
├── DatasetError (ValueError)                  data is not what a dataset needs: a label is missing, a type is another one
│   ├── UnknownSplitError (KeyError)           the data has no split of this name; lists those it has
│   ├── PositionError (IndexError)             no row has this position
│   └── SourceError (OSError)                  what a dataset is read from cannot be read, or has changed
│       └── SourceMissingError (FileNotFoundError)  it is not there
├── PipelineError (ValueError)                 a pipeline, its splits or a transformer was used as it cannot be
├── TrainingError (ValueError)                 what is asked for cannot be retrieved or made: an input is missing, a name is wrong
├── MetricError (ValueError)                   a metric cannot be scored, saved or shown like this
└── ModelError (ValueError)                    a model was used before it could be
```
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SimpleMLError(Exception):
    """Base of every error that this package raises."""


class ConfigurationError(SimpleMLError, ValueError):
    """A settings file, a `SIMPLEML_*` variable or an argument is wrong."""


class ProjectError(ConfigurationError):
    """A project file is wrong."""


class ExecutorError(SimpleMLError, RuntimeError):
    """Work could not be sent to where it runs, or its result not back."""


class WorkerDiedError(ExecutorError):
    """A process that did the work ended before there was a result."""


class MissingDependencyError(SimpleMLError, ImportError):
    """An optional dependency is not installed."""


class RegistryError(SimpleMLError):
    """A registry was asked for something it cannot do."""


class DuplicateNameError(RegistryError, ValueError):
    """Another thing is registered under this name."""


class UnknownNameError(RegistryError, LookupError):
    """Nothing is registered under this name."""


class IdentityError(SimpleMLError, ValueError):
    """A name, version, id or keyword that no object can have."""


class HashingError(SimpleMLError, TypeError):
    """A value has no stable content hash."""


class EncodingError(SimpleMLError, ValueError):
    """A value that JSON metadata cannot hold, or JSON that was not written by `simpleml.encoding`."""


class LineageError(SimpleMLError, ValueError):
    """A reference between records cannot be made, followed or broken."""


class UnsavedReferenceError(LineageError):
    """An object was made from one that is not saved yet."""


class ReferencedError(LineageError):
    """Other records were made from this one."""


class ImmutableVersionError(SimpleMLError, ValueError):
    """A saved version cannot change: its identity and its artifacts are what its number stands for."""


class SavePatternError(SimpleMLError, ValueError):
    """A save pattern does not exist or cannot hold this object."""


class SerializationError(SavePatternError):
    """An object could not be turned into bytes, or bytes not into an object."""


class StoreError(SimpleMLError, OSError):
    """The place that holds the bytes failed."""


class SourceChangedError(StoreError):
    """The memory, or the temporary file, that an artifact was to be stored from changed meanwhile."""


class StoreFullError(StoreError):
    """There is no space left in a store."""


class StoreReadOnlyError(StoreError, PermissionError):
    """A store refuses to be written."""


class StoreUnreachableError(StoreError, ConnectionError):
    """The place does not answer, or what should hold the objects is not there."""


class StoreCredentialsError(StoreError, PermissionError):
    """The place does not let us in with these credentials."""


class OfflineError(StoreError):
    """It would take the network, `offline` is set, and this machine's cache does not have it."""


class UnknownStoreError(StoreError, LookupError):
    """This machine's settings do not say where a store is."""


class ArtifactError(SimpleMLError):
    """An artifact cannot be had."""


class ArtifactMissingError(ArtifactError, FileNotFoundError):
    """The stored object of an artifact is not there."""


class ArtifactUnsetError(ArtifactError, AttributeError):
    """An artifact was read that was never set, so that `hasattr` and `getattr` with a default work as usual."""


class ArtifactDamagedError(ArtifactError, ValueError):
    """The stored bytes are not those that were saved."""


class ArtifactTypeError(ArtifactError, TypeError):
    """A value is not of the type that its artifact declares."""


class ArtifactLoadError(ArtifactError):
    """Every save pattern of an artifact failed; `causes` maps each pattern to what went wrong."""

    def __init__(self, message: str, causes: dict[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.causes = causes or {}


class TrustError(SimpleMLError, PermissionError):
    """Reading this could run code, and the policy forbids that."""


class EnvironmentMismatchError(SimpleMLError, RuntimeError):
    """The libraries here are not those an artifact was saved with."""


class DatabaseError(SimpleMLError, RuntimeError):
    """The database failed, or cannot be used like this."""


class RecordNotFoundError(DatabaseError, LookupError):
    """There is no such record."""


class WrongClassError(DatabaseError, TypeError):
    """The record is of a class that the caller did not ask for."""


class VersionConflictError(DatabaseError, ValueError):
    """This version of this name is taken."""


class SchemaError(DatabaseError):
    """The schema is missing, too old or too new for this package."""


class DatabaseReadOnlyError(DatabaseError, PermissionError):
    """The database refuses to be written."""


class TransactionError(DatabaseError):
    """A transaction was used in a way it cannot be."""


class ClaimLostError(DatabaseError):
    """Another process took over what this one had claimed: nothing was heard of it for too long."""


class BundleError(SimpleMLError, ValueError):
    """What is to be imported is no bundle, is damaged, or conflicts with what is here."""


class LegacyError(SimpleMLError, ValueError):
    """What SimpleML 0.14 left cannot be read, or does not say what it is."""


class PipelineError(SimpleMLError, ValueError):
    """A pipeline, its splits or a transformer cannot be made or used like this."""


class DatasetError(SimpleMLError, ValueError):
    """The data is not what a dataset needs."""


class UnknownSplitError(DatasetError, KeyError):
    """The data has no split of this name."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotes


class PositionError(DatasetError, IndexError):
    """No row of the data has this position."""


class SourceError(DatasetError, OSError):
    """What a dataset is read from cannot be read, or is not what it was."""


class SourceMissingError(SourceError, FileNotFoundError):
    """What a dataset is read from is not there."""


class TrainingError(SimpleMLError, ValueError):
    """What a creator is asked for can neither be retrieved nor made."""


class MetricError(SimpleMLError, ValueError):
    """A metric cannot be scored, saved or shown like this."""


class ModelError(SimpleMLError, ValueError):
    """A model was used before it could be."""


def known_names(names: Iterable[str], *, near: str | None = None, limit: int = 20) -> str:
    """Return one sentence part that lists `names`, the nearest to `near` first: `known: a, b (did you mean 'a'?)`."""
    every = sorted(map(str, names))
    if not every:
        return "none is known"
    shown = ", ".join(every[:limit]) + (f", … ({len(every)} in all)" if len(every) > limit else "")
    close = get_close_matches(near, every, n=1) if near else []
    return f"known: {shown}" + (f" (did you mean {close[0]!r}?)" if close else "")
