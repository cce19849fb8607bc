"""Uploaded files: kept in memory and bounded, because one of them may be a private key, which no disk should see."""

from __future__ import annotations

from io import BytesIO

from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler

MOST_BYTES = 1_048_576


class BoundedUploadHandler(FileUploadHandler):
    """Keeps the beginning of each file. What is longer comes out one byte too long, so that a form can refuse it."""

    def new_file(self, *args: object, **kwargs: object) -> None:
        """Begin a file."""
        super().new_file(*args, **kwargs)  # type: ignore[arg-type]
        self.file = BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Keep what has room, and let no other handler see it."""
        self.file.write(raw_data[: max(0, MOST_BYTES + 1 - self.file.tell())])

    def file_complete(self, file_size: int) -> InMemoryUploadedFile:
        """Hand the file to the form."""
        size = self.file.tell()
        self.file.seek(0)
        return InMemoryUploadedFile(
            self.file, self.field_name, self.file_name or "file", self.content_type, size, self.charset
        )
