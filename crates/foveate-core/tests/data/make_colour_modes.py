"""Writes colour_modes/: one tiny picture per colour mode and what Pillow 10.3.0 makes of it.

    pip install pillow==10.3.0 && python make_colour_modes.py

Every NAME.EXT has a NAME.rgb beside it: width and height as little-endian u16, then the bytes of
Image.open(NAME.EXT).convert("RGB"). PNG and BMP files are assembled by hand where Pillow cannot
write the mode itself, so that each file exercises exactly one reader path.
"""

import io
import random
import struct
import zlib
from pathlib import Path

import PIL
from PIL import Image, ImageOps

assert PIL.__version__ == "10.3.0", PIL.__version__
OUT = Path(__file__).parent / "colour_modes"
W, H = 13, 9
rng = random.Random(7)


def noise(count):
    return bytes(rng.randrange(256) for _ in range(count))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(name, depth, colour, channels, palette=None, trns=None, rows=None):
    stride = (W * channels * depth + 7) // 8
    raw = b"".join(b"\0" + (rows[y] if rows else noise(stride)) for y in range(H))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, 0))
    if palette:
        data += chunk(b"PLTE", palette)
    if trns:
        data += chunk(b"tRNS", trns)
    keep(f"{name}.png", data + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def keep(name, data):
    (OUT / name).write_bytes(data)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    size = struct.pack("<HH", *image.size)
    (OUT / name).with_suffix(".rgb").write_bytes(size + image.tobytes())


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def smooth(mode):
    """A gradient without hard edges: JPEG decoders agree on those to a level or two."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = bytes((x * 9 + y * 5 * (b + 1) + 40 * b) % 200 + 20
                   for y in range(16) for x in range(24) for b in range(bands))
    return Image.frombytes(mode, (24, 16), pixels)


def segments(jpeg):
    """(start, end, marker) of every segment before the scan."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield at, end, jpeg[at + 1]
        at = end


OUT.mkdir(exist_ok=True)
for old in OUT.iterdir():
    old.unlink()

# PNG: colour type 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA.
for depth in (1, 2, 4, 8):
    png(f"png_grey{depth}", depth, 0, 1)
png("png_grey8_trns", 8, 0, 1, trns=b"\0\x80")
# Half of the 16-bit levels lie below 256, where Pillow's clipping differs from taking the high byte.
grey16 = [b"".join(struct.pack(">H", rng.randrange(300 if x % 2 else 65536)) for x in range(W)) for _ in range(H)]
png("png_grey16", 16, 0, 1, rows=grey16)
png("png_grey16_trns", 16, 0, 1, trns=grey16[0][:2], rows=grey16)
png("png_grey_alpha8", 8, 4, 2)
png("png_grey_alpha16", 16, 4, 2)
png("png_rgb8", 8, 2, 3)
png("png_rgb8_trns", 8, 2, 3, trns=b"\0\x10\0\x20\0\x30")
png("png_rgb16", 16, 2, 3)
png("png_rgba8", 8, 6, 4)
png("png_rgba16", 16, 6, 4)
for depth in (1, 2, 4, 8):
    png(f"png_palette{depth}", depth, 3, 1, palette=noise(3 << depth))
png("png_palette8_trns", 8, 3, 1, palette=noise(768), trns=noise(256))

rgb = Image.frombytes("RGB", (W, H), noise(3 * W * H))
rgba = Image.frombytes("RGBA", (W, H), noise(4 * W * H))
palette = Image.frombytes("P", (W, H), noise(W * H))
palette.putpalette(noise(768))
keep("bmp_rgb.bmp", saved(rgb, format="BMP"))
keep("bmp_rgba.bmp", saved(rgba, format="BMP"))
keep("bmp_grey.bmp", saved(rgb.convert("L"), format="BMP"))
keep("bmp_bilevel.bmp", saved(rgb.convert("1"), format="BMP"))
keep("bmp_palette.bmp", saved(palette, format="BMP"))
keep("gif_palette.gif", saved(palette, format="GIF"))
keep("gif_transparent.gif", saved(palette, format="GIF", transparency=palette.getpixel((3, 3))))
keep("gif_two_frames.gif", saved(palette, format="GIF", save_all=True, append_images=[palette.rotate(180)]))
keep("webp_lossless.webp", saved(rgb, format="WEBP", lossless=True))
keep("webp_lossless_alpha.webp", saved(rgba, format="WEBP", lossless=True, exact=True))
keep("webp_lossy.webp", saved(smooth("RGB"), format="WEBP", quality=90))

keep("jpeg_rgb_444.jpg", saved(smooth("RGB"), format="JPEG", quality=95, subsampling=0))
keep("jpeg_rgb_420.jpg", saved(smooth("RGB"), format="JPEG", quality=95, subsampling=2))
keep("jpeg_progressive.jpg", saved(smooth("RGB"), format="JPEG", quality=95, subsampling=0, progressive=True))
keep("jpeg_grey.jpg", saved(smooth("L"), format="JPEG", quality=95))
cmyk = saved(smooth("CMYK"), format="JPEG", quality=95)
keep("jpeg_cmyk_adobe.jpg", cmyk)
adobe = next((start, end) for start, end, marker in segments(cmyk) if marker == 0xEE)
keep("jpeg_cmyk_plain.jpg", cmyk[: adobe[0]] + cmyk[adobe[1] :])
keep("jpeg_ycck.jpg", cmyk[: adobe[1] - 1] + b"\x02" + cmyk[adobe[1] :])  # colour transform 0 -> 2

# Two rows, the first red, the second blue and the left pixels brighter: every orientation differs.
corner = Image.new("RGB", (3, 2), (200, 0, 0))
corner.putpixel((0, 0), (255, 255, 0))
corner.putpixel((1, 1), (0, 0, 220))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(corner, format="PNG", exif=exif)
    name = f"exif_{orientation}.png"
    (OUT / name).write_bytes(data)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    (OUT / name).with_suffix(".rgb").write_bytes(struct.pack("<HH", *turned.size) + turned.tobytes())

# The same 24 x 16 picture as JPEG, turned by the tag only; JPEG is where cameras write it.
for orientation in (3, 6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(smooth("RGB"), format="JPEG", quality=95, subsampling=0, exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    (OUT / f"exif_jpeg_{orientation}.jpg").write_bytes(data)
    (OUT / f"exif_jpeg_{orientation}.rgb").write_bytes(struct.pack("<HH", *turned.size) + turned.tobytes())
