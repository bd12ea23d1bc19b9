"""Disks that are full: a small file system in memory filled to the brim, or a limit on the size of files."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simpleml.errors import SimpleMLError
from tests.faults.invariants import Journal, aftermath, referenced_keys, stored_files, violations
from tests.faults.mounts import mounted, own_mounts
from tests.faults.stages import Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import LARGE, SMALL, Place, save

NAME = "full"
_PATIENCE = 200  # saves until a full database must have been felt: it may have some room set aside


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def saving_when_full(
    say: Say,
    place: Place,
    fill_up: Callable[[], None],
    free: Callable[[], None],
    sizes: tuple[int, ...],
    tries: int,
    twin: Twin,
) -> None:
    """Save with room, without, and with room again; say how each ended, and what is wrong in between."""
    twin()
    said: list[tuple[Any, ...]] = []

    def tell(what: tuple[Any, ...]) -> None:
        said.append(what)
        say(what)

    with place.open() as database:
        save(tell, NAME, "before", SMALL)
        for size in sizes:
            fill_up()
            for number in range(tries):
                seed = f"{size}/{number}"
                try:
                    save(tell, NAME, seed, size)
                except SimpleMLError as error:
                    say(("failed", type(error).__name__, str(error)))
                    break
            free()  # whoever looks for damage may write down what it finds
            for wrong in violations(database, Journal().take(said)):
                say(("wrong", f"while it was full: {wrong}"))
            if halves := [key for key in stored_files(database) - referenced_keys(database) if "objects-" not in key]:
                say(("wrong", f"half-written files are left: {halves}"))
            save(tell, NAME, seed, size)


def _ended(place: Place, *arguments: Any) -> tuple[list[Any], list[Any]]:
    """Return the errors that came out, and what is wrong in the end."""
    status, said = forked(saving_when_full, place, *arguments)
    told = [message for message in said if message[0] in {"wrong", "crashed"}]
    told += forked(aftermath, place, said, NAME)[1]
    assert status == 0 or told, said
    return [message[1:] for message in said if message[0] == "failed"], [message[1] for message in told]


def full_disk(folder: str, store_or_database: str, twin: Twin = faithful) -> tuple[list[Any], list[Any]]:
    """Fill the disk of the store or of the database, and free it again."""
    own_mounts()
    with mounted(Path(folder) / "small", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        store, base = (disk, Path(folder)) if store_or_database == "store" else (Path(folder), disk)
        place = Place(f"sqlite:///{base / 'full.db'}", str(store / "store"), folder)
        sizes, tries = ((SMALL, LARGE), 1) if store_or_database == "store" else ((SMALL,), _PATIENCE)
        return _ended(place, lambda: fill(disk), (disk / "ballast").unlink, sizes, tries, twin)


def limited_files(folder: str, limit: int, size: int, twin: Twin = faithful) -> tuple[list[Any], list[Any]]:
    """Let no file grow beyond `limit` bytes, and take the limit away again."""
    place = Place(f"sqlite:///{folder}/limited.db", f"{folder}/store", folder)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit_to(soft: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, most))

    return _ended(place, limit_to(limit), limit_to(most), (size,), 1 if size > limit else _PATIENCE, twin)
