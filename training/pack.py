"""Packs what foveate-tiny's pictures are made of, from the packages in data/downloads, into data/pack.

`fetch_assets.sh tiny` fetches the packages and runs this. The pack is read by families/assets.py; it is small enough
to travel with the repository to a machine without a network, and is not part of the repository (LICENSES.md).
"""

import gzip
import io
import json
import random
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image
from resvg_py import svg_to_bytes

from families.assets import CONCEPT_LIST, PACK, SPRITE_SIZE, SPRITES_PER_ROW, STYLES, read_concepts

DOWNLOADS = Path(__file__).parent / "data/downloads"
CHARACTERS = "".join(map(chr, range(32, 127)))
FASHION_TRAINING, FASHION_TEST = 24_000, 2_000  # of 60,000 and 10,000
TEXTURES = ["brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg"]
FONTS = [
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "LiberationSans-Regular",
    "LiberationSans-Bold",
    "LiberationSans-Italic",
    "LiberationSerif-Regular",
    "LiberationSerif-Bold",
    "LiberationSerif-Italic",
    "LiberationMono-Regular",
    "LiberationMono-Bold",
    "Lato-Regular",
    "Lato-Bold",
    "Lato-Italic",
    "Lato-Black",
    "Lato-Light",
    "OpenSans-Regular",
    "OpenSans-Bold",
    "OpenSans-Italic",
    "OpenSans-Semibold",
    "OpenSans-CondBold",
    "Roboto-Regular",
    "Roboto-Bold",
    "Roboto-Italic",
    "Roboto-Medium",
    "RobotoCondensed-Regular",
    "RobotoCondensed-Bold",
    "ComicNeue-Regular",
    "ComicNeue-Bold",
    "Inconsolata",
]


def package(beginning: str) -> Path:
    """The downloaded file whose name begins so."""
    found = sorted(DOWNLOADS.glob(f"{beginning}*"))
    if len(found) != 1:
        raise SystemExit(f"{DOWNLOADS}/{beginning}*: expected one file, got {len(found)}; run ./fetch_assets.sh tiny")
    return found[0]


def debian_files(name: str) -> dict[str, bytes]:
    """Files of a Debian package by path."""
    archive = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package(f"{name}_")], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def npm_files(name: str) -> dict[str, bytes]:
    """Files of an npm package by path within it."""
    with tarfile.open(package(name)) as tar:
        files = (member for member in tar if member.isfile())
        return {member.name.removeprefix("package/"): tar.extractfile(member).read() for member in files}


def rasterised(svg: str) -> Image.Image:
    """An SVG at twice the sprites' size."""
    side = 2 * SPRITE_SIZE
    return Image.open(io.BytesIO(bytes(svg_to_bytes(svg_string=svg, width=side, height=side))))


def iconify_pictures(name: str, codes: list[str]):
    """Pictures of a set that iconify publishes, one for each code point."""
    files = npm_files(name)
    names, icons = json.loads(files["chars.json"]), json.loads(files["icons.json"])
    for code in codes:
        icon = icons["icons"][names[code]]
        width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
        yield rasterised(
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        )


def first_file(files: dict[str, bytes], folder: str, code: str, suffix: str) -> bytes:
    """A code point's file, whose name may say that it is to be shown in colour."""
    return next(files[path] for path in (f"{folder}{code}{suffix}", f"{folder}{code}-fe0f{suffix}") if path in files)


def style_pictures(style: str, codes: list[str]):
    """Pictures of all concepts in one art style."""
    if style == "noto":
        yield from iconify_pictures("iconify-json-noto", codes)
    elif style == "fluent-flat":
        yield from iconify_pictures("iconify-json-fluent-emoji-flat", codes)
    elif style == "fluent-3d":
        files = npm_files("lobehub-fluent-emoji-3d")
        for code in codes:
            yield Image.open(io.BytesIO(first_file(files, "assets/", code, ".webp")))
    else:
        files = npm_files("twemoji-svg")
        for code in codes:
            yield rasterised(first_file(files, "", code, ".svg").decode())


def fitted(picture: Image.Image) -> Image.Image:
    """Cropped to what is drawn, and centred in a sprite with its longer side as large as that."""
    picture = picture.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").point(lambda level: 255 * (level > 8)).getbbox())
    scale = SPRITE_SIZE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.LANCZOS)
    sprite = Image.new("RGBA", (SPRITE_SIZE, SPRITE_SIZE))
    sprite.paste(picture, ((SPRITE_SIZE - size[0]) // 2, (SPRITE_SIZE - size[1]) // 2))
    return sprite


def pack_sprites() -> None:
    """One sheet of sprites per art style, in the order of concepts.txt, which is put beside them."""
    shutil.copy(CONCEPT_LIST, PACK)
    codes = [code for code, _ in read_concepts()]
    rows = -(-len(codes) // SPRITES_PER_ROW)
    for style in STYLES:
        sheet = Image.new("RGBA", (SPRITES_PER_ROW * SPRITE_SIZE, rows * SPRITE_SIZE))
        for index, picture in enumerate(style_pictures(style, codes)):
            place = (index % SPRITES_PER_ROW * SPRITE_SIZE, index // SPRITES_PER_ROW * SPRITE_SIZE)
            sheet.paste(fitted(picture), place)
        sheet.save(PACK / f"sprites-{style}.webp", quality=90, method=6)


def pack_fonts() -> None:
    """The fonts, cut down to ASCII."""
    debian = ["dejavu-core", "liberation2", "lato", "open-sans", "roboto-unhinted", "comic-neue", "inconsolata"]
    paths = (item for name in debian for item in debian_files(f"fonts-{name}").items())
    files = {Path(path).stem: data for path, data in paths if path.endswith((".ttf", ".otf"))}
    (PACK / "fonts").mkdir()
    for name in FONTS:
        font = TTFont(io.BytesIO(files[name]), recalcTimestamp=False)  # the same bytes every time
        options = subset.Options(hinting=False, layout_features=["kern"], name_IDs=[1, 2])
        options.drop_tables += ["FFTM"]
        cut = subset.Subsetter(options)
        cut.populate(text=CHARACTERS)
        cut.subset(font)
        font.save(PACK / "fonts" / f"{name}{'.otf' if 'CFF ' in font else '.ttf'}")


# Beginnings of words that a published picture should not show.
UNWANTED = (
    "arse,ass,bastard,bitch,bloody,cock,coon,crap,cunt,damn,dick,dyke,fag,fuck,gook,hell,homo,jew,kike,lesb,nazi,negr,nig,"
    "paki,penis,piss,porn,prick,pube,pus,queer,rap,retard,sex,shit,slut,spic,suicid,tit,turd,vagin,wank,whor,wop"
).split(",")  # fmt: skip


def pack_words() -> None:
    """Lower-case words of three to eight letters."""
    words = debian_files("wamerican")["./usr/share/dict/american-english"].decode().split("\n")
    words = [word for word in words if word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 8]
    words = [word for word in words if not word.startswith(tuple(UNWANTED))]
    (PACK / "words.txt").write_text("\n".join(words) + "\n")


def pack_fashion() -> None:
    """Fashion-MNIST: a random part of its training and of its test pictures."""
    files = {Path(path).name: data for path, data in debian_files("dataset-fashion-mnist").items()}
    for split, stem, count in (("train", "train", FASHION_TRAINING), ("test", "t10k", FASHION_TEST)):
        images = gzip.decompress(files[f"{stem}-images-idx3-ubyte.gz"])
        pictures = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.frombuffer(gzip.decompress(files[f"{stem}-labels-idx1-ubyte.gz"]), np.uint8, offset=8)
        chosen = random.Random(0).sample(range(len(labels)), count)
        np.savez_compressed(PACK / f"fashion-{split}.npz", pictures=pictures[chosen], labels=labels[chosen])


def pack_digits() -> None:
    """Handwritten digits, 8x8; every fifth one is for the test."""
    with zipfile.ZipFile(package("scikit_learn-")) as wheel:
        table = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz")).decode()
    table = np.loadtxt(table.splitlines(), delimiter=",", dtype=np.uint8)
    test = np.arange(len(table)) % 5 == 0
    for split, rows in (("train", table[~test]), ("test", table[test])):
        np.savez_compressed(PACK / f"digits-{split}.npz", pictures=rows[:, :64].reshape(-1, 8, 8), labels=rows[:, 64])


def pack_easy_vqa() -> None:
    """easy-VQA's official splits: 64x64 pictures and questions."""
    with zipfile.ZipFile(package("easy_vqa-")) as wheel:
        for split in ("train", "test"):
            questions = json.loads(wheel.read(f"easy_vqa/data/{split}/questions.json"))
            count = 1 + max(picture for _, _, picture in questions)
            names = (f"easy_vqa/data/{split}/images/{index}.png" for index in range(count))
            pictures = [np.asarray(Image.open(io.BytesIO(wheel.read(name))).convert("RGB")) for name in names]
            np.savez_compressed(PACK / f"easy-vqa-{split}.npz", pictures=np.stack(pictures))
            (PACK / f"easy-vqa-{split}.json").write_text(json.dumps(questions))


def pack_textures() -> None:
    """Photographs of surfaces and of the sky, for backgrounds."""
    (PACK / "textures").mkdir()
    with zipfile.ZipFile(package("scikit_image-")) as wheel:
        for name in TEXTURES:
            picture = Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}"))).convert("RGB")
            picture.thumbnail((512, 512))
            picture.save(PACK / "textures" / f"{Path(name).stem}.jpg", quality=88)


def main() -> None:
    shutil.rmtree(PACK, ignore_errors=True)
    PACK.mkdir(parents=True)
    for step in (pack_sprites, pack_fonts, pack_words, pack_fashion, pack_digits, pack_easy_vqa, pack_textures):
        step()
    size = sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB in {PACK}")


if __name__ == "__main__":
    main()
