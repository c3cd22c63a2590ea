"""The order in which a write becomes durable before it is acknowledged: rules over what a server did.

file:    its data, their sync, its name, the sync of its directory, then the commit
commit:  the pages of the index, their sync, the synced meta page that makes them valid, then the answer

``first_broken`` names the first rule that a sequence of events breaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto


class Kind(StrEnum):
    """What was seen; ``path`` of the event is the file or the directory that it was done to."""

    WRITE = auto()  # data of a file below blobs/
    SYNC = auto()  # a file
    NAME = auto()  # a name below blobs/, or that of VERSION
    DIRECTORY = auto()  # a directory made; ``path`` is its own
    SYNC_DIRECTORY = auto()
    PAGE = auto()  # a page of the index, or several
    META_PAGE = auto()  # a meta page of the index, written by a descriptor that does not sync
    SYNCED_META_PAGE = auto()  # by one that does
    SYNC_INDEX = auto()
    COMMIT = auto()  # all of a commit in an index that syncs
    UNSYNCED_COMMIT = auto()  # in one that does not, or not always
    ANSWER = auto()  # bytes to the client; ``path`` may hold the first of them


@dataclass(slots=True)
class Event:
    """Something that was done; ``began`` and ``ended`` are places in one order of all events."""

    kind: Kind
    path: str
    began: int
    ended: int


class Rule(StrEnum):
    """A step and what it must come after; the text is what to say where it does not."""

    DATA_SYNC = "the data of the file are synced once they are all written"
    NAME = "the file gets its name once its data are synced"
    DIRECTORY_SYNC = "the directory is synced once the name is there"
    COMMIT = "the commit begins once the file's name is durable"
    INDEX_SYNC = "the pages of the index are synced once they are all written"
    META_PAGE = "the meta page is written and synced once the pages are"
    ANSWER = "the first byte of the answer goes out once the commit is durable"


def first_broken(events: Sequence[Event], *, file: bool) -> Rule | None:
    """Return the first rule that is broken by the events of one write, None where all are kept.

    ``file`` says that the write must make a file.
    """
    start = 0
    if file:
        written = _first(events, Kind.WRITE)
        synced = _after(events, Kind.SYNC, _end(events, Kind.WRITE))
        if written is None or synced is None or synced.path != written.path:
            return Rule.DATA_SYNC
        named = _first(events, Kind.NAME)
        if named is None or named.began < synced.ended:
            return Rule.NAME
        durable = _after(events, Kind.SYNC_DIRECTORY, named.ended)
        if durable is None or durable.path != named.path.rpartition("/")[0]:
            return Rule.DIRECTORY_SYNC
        start = durable.ended
    committed = _commit(events, start)
    if isinstance(committed, Rule):
        return committed
    answer = _first(events, Kind.ANSWER)
    return None if answer is not None and answer.began > committed else Rule.ANSWER


def _commit(events: Sequence[Event], start: int) -> Rule | int:
    # The place at which the commit is durable, or the broken rule. Seen as a whole, or page by page.
    whole = _first(events, Kind.COMMIT, Kind.UNSYNCED_COMMIT)
    first = whole or _first(events, Kind.PAGE)
    if first is None or first.began < start:
        return Rule.COMMIT
    if whole is not None:
        return whole.ended if whole.kind is Kind.COMMIT else Rule.META_PAGE
    synced = _after(events, Kind.SYNC_INDEX, _end(events, Kind.PAGE))
    if synced is None:
        return Rule.INDEX_SYNC
    meta = _after(events, Kind.SYNCED_META_PAGE, synced.ended)
    unsynced = _first(events, Kind.META_PAGE)
    return Rule.META_PAGE if meta is None or unsynced is not None else meta.ended


def _first(events: Iterable[Event], *kinds: Kind) -> Event | None:
    found = [event for event in events if event.kind in kinds]
    return min(found, key=lambda event: event.began, default=None)


def _end(events: Iterable[Event], kind: Kind) -> int | None:
    return max((event.ended for event in events if event.kind is kind), default=None)


def _after(events: Iterable[Event], kind: Kind, place: int | None) -> Event | None:
    # The first of a kind that began after ``place``; None also where there is no such place.
    if place is None:
        return None
    return _first([event for event in events if event.began > place], kind)


# -- the first start --------------------------------------------------------------------------


def unsynced_parents(events: Sequence[Event], root: str, made: Iterable[str]) -> list[str]:
    """Return the directories of ``made`` whose names were not durable before VERSION was there.

    ``made`` are all directories that the start has made, ``root`` that of the store. It is named itself where
    the name of VERSION, or what VERSION says, is not durable.
    """
    version = [event for event in events if event.kind is Kind.NAME and event.path == f"{root}/VERSION"]
    if len(version) != 1:
        return [root]
    named = version[0]
    found = []
    for path in made:
        parent = path.rpartition("/")[0]
        seen = [event.ended for event in events if event.kind is Kind.DIRECTORY and event.path == path]
        if not _done(events, Kind.SYNC_DIRECTORY, parent, max(seen, default=-1), named.began):
            found.append(path)
    content = _done(events, Kind.SYNC, f"{root}/VERSION.new", -1, named.began)
    if not content or not _done(events, Kind.SYNC_DIRECTORY, root, named.ended):
        found.append(root)
    return found


def _done(events: Sequence[Event], kind: Kind, path: str, after: int, before: int | None = None) -> bool:
    return any(
        event.kind is kind
        and event.path == path
        and event.began > after
        and (before is None or event.ended < before)
        for event in events
    )
