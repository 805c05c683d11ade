"""The picture sources: each turns a concept id into encoded WebP bytes and a size.

3D renders are already 256x256 lossy WebP with alpha and are copied byte for byte; drawings are
rendered from SVG by rsvg-convert; shaded bitmaps are cut out of the font's CBDT table at their own
136x128. Nothing is upscaled. What is encoded here is lossless, so flat edges stay clean.
"""
import concurrent.futures
import io
import json
import subprocess
import tarfile

from PIL import Image, ImageOps
from fontTools.ttLib import TTFont

SIZE_PX = 256


def concept_id_of(hexcode: str) -> str:
    """Returns the code points in lower-case hex joined by '-', without the variation selector
    FE0F."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def encode_webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, quality=40, method=2, exact=False)
    return out.getvalue()


def read_3d(archive: tarfile.TarFile, wanted: set[str]) -> dict[str, tuple[bytes, int, int]]:
    pictures = {}
    for member in archive:
        name = member.name.rsplit("/", 1)[-1]
        if not name.endswith(".webp"):
            continue
        concept_id = concept_id_of(name[:-5])
        if concept_id in wanted:
            data = archive.extractfile(member).read()
            image = Image.open(io.BytesIO(data))
            if image.size != (SIZE_PX, SIZE_PX):  # one picture of the package is 256x264
                image = ImageOps.pad(image.convert("RGBA"), (SIZE_PX, SIZE_PX), Image.LANCZOS,
                                     color=(0, 0, 0, 0))
                data = encode_webp(image)
            pictures[concept_id] = (data, image.width, image.height)
    return pictures


def render_svg(svg: str, oversampling: int = 1) -> tuple[bytes, int, int]:
    size = str(SIZE_PX * oversampling)
    png = subprocess.run(["rsvg-convert", "-w", size, "-h", size, "-f", "png"], input=svg.encode(),
                         check=True, capture_output=True).stdout
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    if oversampling > 1:
        # Premultiplied, so that no colour of transparent pixels bleeds into the edge.
        image = image.convert("RGBa").resize((SIZE_PX, SIZE_PX), Image.BOX).convert("RGBA")
    return encode_webp(image), image.width, image.height


def render_all(jobs: dict[str, str], oversampling: int = 1,
               workers: int = 2) -> dict[str, tuple[bytes, int, int]]:
    """Renders concept id -> SVG text to pictures."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return dict(zip(jobs, pool.map(lambda svg: render_svg(svg, oversampling), jobs.values())))


def read_iconify(icons: dict, chars: dict[str, str],
                 wanted: set[str]) -> dict[str, tuple[bytes, int, int]]:
    """`icons` and `chars` are icons.json and chars.json of an Iconify package."""
    names = {concept_id_of(code): name for code, name in sorted(chars.items())}
    jobs = {}
    for concept_id in sorted(wanted & names.keys()):
        name = names[concept_id]
        name = icons.get("aliases", {}).get(name, {}).get("parent", name)
        icon = icons["icons"].get(name)
        if icon is None:
            continue
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        jobs[concept_id] = ('<svg xmlns="http://www.w3.org/2000/svg" '
                            'xmlns:xlink="http://www.w3.org/1999/xlink" '
                            f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>')
    return render_all(jobs)


def svgs_of(archive: tarfile.TarFile, folder: str) -> dict[str, str]:
    """Returns file name without its ending -> SVG text, of one folder of a package."""
    return {member.name.rsplit("/", 1)[-1][:-4]: archive.extractfile(member).read().decode()
            for member in archive
            if member.name.startswith(folder) and member.name.endswith(".svg")}


def read_twemoji(archive: tarfile.TarFile, wanted: set[str]) -> dict[str, tuple[bytes, int, int]]:
    drawings = {concept_id_of(name): svg for name, svg in svgs_of(archive, "package/").items()}
    return render_all({cid: drawings[cid] for cid in sorted(wanted & drawings.keys())})


def read_fluent_modern(archive: tarfile.TarFile, chars: dict[str, str],
                       wanted: set[str]) -> dict[str, tuple[bytes, int, int]]:
    """Files have the names of the flat drawings (`chars` is the chars.json of those), people an
    ending for the neutral skin. Blurred masks are rendered at the size of the output's pixels, so
    edges need oversampling."""
    drawings = svgs_of(archive, "package/icons/modern/")
    names = {concept_id_of(code): name for code, name in sorted(chars.items())}
    jobs = {}
    for concept_id in sorted(wanted & names.keys()):
        svg = drawings.get(names[concept_id]) or drawings.get(names[concept_id] + "-default")
        if svg is not None:
            jobs[concept_id] = svg
    return render_all(jobs, oversampling=2)


def ligatures_of(font: TTFont) -> dict[tuple[str, ...], str]:
    found = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        if lookup.LookupType != 4:
            continue
        for subtable in lookup.SubTable:
            for first, entries in subtable.ligatures.items():
                for entry in entries:
                    found.setdefault((first, *entry.Component), entry.LigGlyph)
    return found


def read_shaded(font_bytes: bytes, wanted: set[str]) -> dict[str, tuple[bytes, int, int]]:
    font = TTFont(io.BytesIO(font_bytes), lazy=True)
    cmap = font.getBestCmap()
    ligatures = ligatures_of(font)
    bitmaps = font["CBDT"].strikeData[0]
    pictures = {}
    for concept_id in sorted(wanted):
        glyphs = tuple(cmap.get(int(part, 16)) for part in concept_id.split("-"))
        glyph = glyphs[0] if len(glyphs) == 1 else ligatures.get(glyphs)
        if glyph is None or glyph not in bitmaps:
            continue
        png = bitmaps[glyph].imageData
        image = Image.open(io.BytesIO(png)).convert("RGBA")
        pictures[concept_id] = (encode_webp(image), image.width, image.height)
    return pictures


def load_json(data: bytes):
    return json.loads(data.decode("utf-8"))
