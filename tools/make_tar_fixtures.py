#!/usr/bin/env python3
"""Writes small tar archives of the three dialects into tests/fuzz/corpus/tar, for src/data's tests
and as seeds of the fuzzer. Run it from the repository's root; the outputs are committed."""
import io
import pathlib
import tarfile

KINDS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def main():
    folder = pathlib.Path("tests/fuzz/corpus/tar")
    folder.mkdir(parents=True, exist_ok=True)
    for kind, dialect in KINDS.items():
        with tarfile.open(folder / f"{kind}.tar", "w", format=dialect, bufsize=512) as tar:
            members = [("one.txt", "1"), ("d" * 60 + "/" + "f" * 80 + ".txt", "deep")]
            if kind != "ustar":
                members += [("e" * 120 + "/" + "g" * 140 + ".txt", "longest"), ("猫.txt", "cat")]
            for name, text in members:
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            for name, kind_of in (("folder", tarfile.DIRTYPE), ("link.txt", tarfile.SYMTYPE)):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind_of, "one.txt"
                tar.addfile(info)


if __name__ == "__main__":
    main()
