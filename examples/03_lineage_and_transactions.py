"""Say what an object is made from, and save an object and its inputs together or not at all.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder.
"""

from __future__ import annotations

import os
import tempfile

import simpleml
from simpleml import Artifact, Lineage, Persistable
from simpleml.errors import ReferencedError, UnsavedReferenceError


class Page(Persistable):
    """A text."""

    text: Artifact[str] = Artifact()


class Index(Persistable):
    """Says in which lines of a page each word stands."""

    page: Lineage[Page] = Lineage("persistable")
    # It follows from the page, so it is no part of the hash.
    lines: Artifact[dict[str, list[int]]] = Artifact(identity=False)

    def build(self) -> Index:
        """Read the page."""
        assert self.page is not None
        found: dict[str, list[int]] = {}
        for number, line in enumerate(self.page.text.splitlines()):
            for word in line.split():
                found.setdefault(word, []).append(number)
        self.lines = found
        return self


def main() -> None:
    """Save a page and its index, follow the lineage, and see what is refused."""
    page = Page(name="poem", text="a rose is\na rose is\na rose").save()
    index = Index(name="poem-index", page=page).build().save()

    found = Index.load("poem-index")
    assert found.page is not None
    assert found.page.id == page.id
    assert found.lines["is"] == [0, 1]
    print(f"lineage   {found} is made from {found.page}")

    # The input's hash is part of the hash: another page makes another index, the same page the same one.
    again = Index(name="other-name", page=page)
    assert again.build().save().hash_ == index.hash_
    longer = Page(name="poem", text="a rose is a rose").save()
    assert Index(name="poem-index", page=longer).build().save().hash_ != index.hash_

    try:
        page.delete()
    except ReferencedError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("a page was deleted although an index was made from it")
    try:
        Index(name="poem-index", page=Page(name="draft", text="a")).build().save()
    except UnsavedReferenceError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("an index of an unsaved page was saved")

    with simpleml.transaction():
        song = Page(name="song", text="la la").save()
        made = Index(name="song-index", page=song).build().save()
        assert repr(song) == "<Page 'song' (saved when the transaction ends)>"  # and its version is counted then
    assert song.version is not None
    assert made.version is not None
    print(f"together  {song} and {made}")

    before = Page.query(name="half").count()
    try:
        with simpleml.transaction():
            half = Page(name="half", text="never").save()
            raise InterruptedError("something went wrong in the middle")
    except InterruptedError as error:
        assert not half.is_saved
        assert Page.query(name="half").count() == before
        print(f"undone    {half}: {error}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main()
        simpleml.disconnect()
