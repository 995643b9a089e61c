"""Lists tars with Python's own tarfile, one line for each, strictly.

tarfile.open() takes damage in the middle of a tar for its end; this loop tells them apart. Reads
from the file that is given: the length of each tar, eight bytes with the last one first, and the tar.
"""

import io
import struct
import sys
import tarfile


class Tape:
    encoding, errors = "utf-8", "surrogateescape"

    def __init__(self, data):
        self.fileobj, self.offset, self.pax_headers = io.BytesIO(data), 0, {}
        self.tarinfo = tarfile.TarInfo


def members(data):
    tape = Tape(data)
    while tape.offset < len(data):
        tape.fileobj.seek(tape.offset)
        try:
            member = tarfile.TarInfo.fromtarfile(tape)
        except tarfile.EOFHeaderError:
            return
        if member.isreg() and member.offset_data + -(-member.size // 512) * 512 > len(data):
            raise ValueError("truncated")
        yield member


def line(member):
    kinds = "file hard symbolic char block folder fifo file".split()
    kind = kinds["01234567".index(member.type.replace(b"\0", b"0").decode())]
    text = lambda name: name.rstrip("/").encode("utf-8", "surrogateescape").hex() or "-"
    is_link, is_device = kind in ("hard", "symbolic"), kind in ("char", "block")
    size = member.size if kind == "file" else 0
    return " ".join(
        [
            text(member.name),
            kind,
            str(size),
            "%o" % (member.mode & 0o7777),
            "%d/%d" % (member.uid, member.gid),
            str(int(member.mtime // 1)),
            text(member.linkname) if is_link else "-",
            "%d,%d" % (member.devmajor, member.devminor) if is_device else "-",
        ]
    )


with open(sys.argv[1], "rb") as file:
    while size := file.read(8):
        data = file.read(struct.unpack("<Q", size)[0])
        try:
            print(";".join(map(line, members(data))))
        except Exception as error:
            print("refused:", type(error).__name__, str(error).replace("\n", " "))
