"""What the archive can answer instead of keeping or giving back a record."""

from __future__ import annotations


class ArchiveError(Exception):
    """A record could not be kept, found or believed."""


class FolderError(ArchiveError):
    """The folder cannot hold, or does not hold, a survey."""


class FolderInUse(FolderError):
    """Another process is writing this survey."""


class JournalError(ArchiveError):
    """The journal cannot be opened, believed or written."""


class JournalFull(JournalError):
    """No room on disk for a row."""


class DamagedFrame(ArchiveError):
    """A committed frame is missing, or is not what was committed."""
